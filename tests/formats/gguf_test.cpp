// Valid GGUF files, read.
#include "src/formats/gguf.h"

#include <cmath>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/formats/open.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_data.h"

namespace krait {
namespace {

using namespace test;  // NOLINT: the pieces of files
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

const std::string kGolden = std::string(KRAIT_TEST_GOLDEN) + "/gguf/";

GgufContents parse(const std::string& file) {
  return parse_gguf(std::as_bytes(std::span(file)), "x.gguf");
}

TEST(Gguf, ReadsEveryKindOfMetadata) {
  GgufParts file;
  file.pairs.insert(
      file.pairs.end(),
      {pair("u8", 0, raw(uint8_t{200})), pair("i8", 1, raw(int8_t{-5})),
       pair("u16", 2, raw(uint16_t{60000})), pair("i16", 3, raw(int16_t{-30000})),
       pair("u32", 4, raw(uint32_t{4'000'000'000})), pair("i32", 5, raw(int32_t{-7})),
       pair("f32", 6, raw(1e-5f)), pair("bool", 7, raw(uint8_t{1})), text_pair("text", "Größe"),
       pair("u64", 10, raw(~uint64_t{0})), pair("i64", 11, raw(int64_t{-1} << 62)),
       pair("f64", 12, raw(0.1)), array_pair("none", 8, 0, ""),
       array_pair("texts", 8, 2, gguf_text("a") + gguf_text("")),
       array_pair("flags", 7, 2, std::string("\1\0", 2)),
       array_pair("ids", 5, 2, raw(int32_t{3}) + raw(int32_t{-1}))});
  const json metadata = parse(file.bytes()).metadata;
  const json expected = {{"general.architecture", "mamba"},
                         {"u8", 200},
                         {"i8", -5},
                         {"u16", 60000},
                         {"i16", -30000},
                         {"u32", 4'000'000'000},
                         {"i32", -7},
                         {"f32", static_cast<double>(1e-5f)},
                         {"bool", true},
                         {"text", "Größe"},
                         {"u64", ~uint64_t{0}},
                         {"i64", int64_t{-1} << 62},
                         {"f64", 0.1},
                         {"none", json::array()},
                         {"texts", {"a", ""}},
                         {"flags", {true, false}},
                         {"ids", {3, -1}}};
  EXPECT_EQ(metadata, expected);
}

TEST(Gguf, FindsTensorsWithTheirShapesReversed) {
  GgufParts file;
  file.tensors = {tensor_info("z", {3, 2}, 0, 0), tensor_info("b", {5}, 30, 32),
                  tensor_info("a", {32, 2, 1, 2}, 8, 64), tensor_info("scalar", {}, 28, 224)};
  file.data = std::string(24, 'z') + std::string(8, '\0') + std::string(10, 'b') +
              std::string(22, '\0') + std::string(34 * 4, 'a') + std::string(24, '\0') +
              std::string(8, 's');
  const std::string bytes = file.bytes();
  const GgufContents contents = parse(bytes);
  ASSERT_EQ(contents.tensors.size(), 4);
  const auto& [a, b, scalar, z] =
      std::tie(contents.tensors[0], contents.tensors[1], contents.tensors[2], contents.tensors[3]);
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.tensor.shape, (Shape{2, 1, 2, 32}));
  EXPECT_EQ(a.tensor.dtype, DType::q8_0);
  EXPECT_EQ(b.tensor.dtype, DType::bf16);
  EXPECT_EQ(scalar.tensor.shape, Shape{});
  EXPECT_EQ(z.tensor.shape, (Shape{2, 3}));
  const auto text = [](const Tensor& t) {
    return std::string(reinterpret_cast<const char*>(t.data.data()), t.data.size());
  };
  EXPECT_EQ(text(a.tensor), std::string(136, 'a'));
  EXPECT_EQ(text(b.tensor), std::string(10, 'b'));
  EXPECT_EQ(text(scalar.tensor), std::string(8, 's'));
  EXPECT_EQ(text(z.tensor), std::string(24, 'z'));
}

TEST(Gguf, ReadsVersionTwo) {
  GgufParts file;
  file.version = 2;
  EXPECT_EQ(parse(file.bytes()).metadata.size(), 1);
}

TEST(Gguf, FollowsTheAlignmentOfTheFile) {
  GgufParts file;
  file.pairs.push_back(u32_pair("general.alignment", 8));
  file.alignment = 8;
  file.tensors = {tensor_info("a", {1}, 0, 0), tensor_info("b", {1}, 0, 8)};
  file.data = raw(1.5f) + raw(0) + raw(2.5f);
  const std::string bytes = file.bytes();
  const GgufContents contents = parse(bytes);
  float b;
  copy_to_f32(contents.tensors[1].tensor, 0, 1, &b, "b");
  EXPECT_EQ(b, 2.5f);
}

// Every defined type, by its id, has the size of its block: the tensor after it shows it.
TEST(Gguf, KnowsTheSizeOfEveryType) {
  struct Type {
    uint32_t id;
    int64_t elements, bytes;
    const char* read_as;  // nullptr: not read
  };
  for (const Type& type : {Type{0, 1, 4, "f32"},    {1, 1, 2, "f16"},        {2, 32, 18, "q4_0"},
                           {3, 32, 20, "q4_1"},     {6, 32, 22, "q5_0"},     {7, 32, 24, "q5_1"},
                           {8, 32, 34, "q8_0"},     {9, 32, 36, nullptr},    {10, 256, 84, "q2_k"},
                           {11, 256, 110, "q3_k"},  {12, 256, 144, "q4_k"},  {13, 256, 176, "q5_k"},
                           {14, 256, 210, "q6_k"},  {15, 256, 292, nullptr}, {16, 256, 66, nullptr},
                           {17, 256, 74, nullptr},  {18, 256, 98, nullptr},  {19, 256, 50, nullptr},
                           {20, 32, 18, nullptr},   {21, 256, 110, nullptr}, {22, 256, 82, nullptr},
                           {23, 256, 136, nullptr}, {24, 1, 1, "i8"},        {25, 1, 2, "i16"},
                           {26, 1, 4, "i32"},       {27, 1, 8, "i64"},       {28, 1, 8, "f64"},
                           {29, 256, 56, nullptr},  {30, 1, 2, "bf16"},      {34, 256, 54, nullptr},
                           {35, 256, 66, nullptr},  {39, 32, 17, nullptr},   {40, 64, 36, nullptr},
                           {41, 128, 18, nullptr}}) {
    const int64_t count = type.elements * 64;  // 64 blocks: a multiple of the alignment
    GgufParts file;
    file.tensors = {tensor_info("t", {count}, type.id, 0),
                    tensor_info("u", {1}, 24, static_cast<uint64_t>(type.bytes * 64))};
    file.data = std::string(static_cast<size_t>(type.bytes * 64) + 1, 'd');
    const GgufContents contents = parse(file.bytes());
    const GgufEntry& t = contents.tensors[0];
    EXPECT_EQ(t.unread_type.empty(), type.read_as != nullptr) << type.id;
    if (type.read_as) {
      EXPECT_EQ(dtype_name(t.tensor.dtype), type.read_as) << type.id;
    }
  }
}

TEST(OpenGguf, IsACheckpoint) {
  const TempFolder folder;
  GgufParts file;
  file.tensors = {tensor_info("w", {2}, 0, 0), tensor_info("odd", {256}, 23, 32)};
  file.data = std::string(32 + 136, '\0');
  const std::string path = folder.write("m.gguf", file.bytes());
  const auto checkpoint = open_checkpoint(path);
  EXPECT_EQ(checkpoint->container(), "GGUF");
  EXPECT_EQ(checkpoint->source(), path);
  EXPECT_EQ(checkpoint->names(), (std::vector<std::string>{"odd", "w"}));
  EXPECT_EQ(checkpoint->config()["general.architecture"], "mamba");
  ASSERT_NE(checkpoint->find("w"), nullptr);
  EXPECT_EQ(checkpoint->find("x"), nullptr);
  EXPECT_EQ(checkpoint->file_of("odd"), path);
  checkpoint->release(*checkpoint->find("w"));
  EXPECT_THAT(message_of<InputError>([&] { checkpoint->find("odd"); }),
              AllOf(HasSubstr(path), HasSubstr("\"odd\" has type IQ4_XS")));
}

TEST(OpenGguf, NamesTheFileThatIsWrong) {
  const TempFolder folder;
  const std::string path = folder.write("m.gguf", "GGUX");
  EXPECT_THAT(message_of<InputError>([&] { open_checkpoint(path); }), HasSubstr(path));
}

// What the Python package gguf says of random blocks (tools/golden/make_gguf_golden.py).
TEST(GgufGolden, BlocksOfEveryTypeHaveTheValuesOfTheReference) {
  const auto checkpoint = open_gguf(kGolden + "blocks.gguf");
  int types = 0;
  for (const std::string& name : checkpoint->names()) {
    if (name.ends_with(".f32")) continue;
    const Tensor& blocks = *checkpoint->find(name);
    EXPECT_EQ(dtype_name(blocks.dtype), name);
    const int64_t count = blocks.elements();
    ASSERT_EQ(count, 1024);
    std::vector<float> found(count), expected(count);
    copy_to_f32(blocks, 0, count, found.data(), name);
    copy_to_f32(*checkpoint->find(name + ".f32"), 0, count, expected.data(), name);
    for (int64_t i = 0; i < count; ++i) ASSERT_EQ(found[i], expected[i]) << name << " " << i;
    ++types;
  }
  EXPECT_EQ(types, 10);
}

// Files with a vocabulary and no tensors, as llama.cpp has them for its tests.
TEST(GgufShared, VocabularyFilesOpen) {
  const auto data = test_data_folder(KRAIT_TEST_SOURCE_DIR);
  const auto folder = data.value_or("") / "tokenizers" / "gguf";
  if (!data || !std::filesystem::is_directory(folder))
    GTEST_SKIP() << "no shared test data: tokenizers/gguf";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto checkpoint = open_checkpoint(entry.path().string());
    EXPECT_TRUE(checkpoint->names().empty()) << entry.path();
    EXPECT_GT(checkpoint->config().at("tokenizer.ggml.tokens").size(), 50'000u) << entry.path();
    EXPECT_GT(checkpoint->config().at("tokenizer.ggml.merges").size(), 40'000u) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 2);
}

}  // namespace
}  // namespace krait
