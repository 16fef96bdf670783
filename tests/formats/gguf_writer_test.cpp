// GGUF files that krait writes, read back.
#include "src/formats/gguf_writer.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/formats/gguf.h"
#include "src/formats/open.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

const ordered_json kMetadata = {{"general.architecture", "mamba"}};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A tensor of the bytes 1, 2, 3, … in pieces of three.
GgufTensor counting(std::string name, DType type, Shape shape, size_t bytes) {
  return {std::move(name), type, std::move(shape), [bytes](const GgufSink& sink) {
            std::vector<std::byte> all(bytes);
            for (size_t i = 0; i < bytes; ++i) all[i] = static_cast<std::byte>(i + 1);
            for (size_t at = 0; at < bytes; at += 3)
              sink(std::span(all).subspan(at, std::min<size_t>(3, bytes - at)));
          }};
}

TEST(GgufWriter, FileIsByteForByteTheOneByHand) {
  const test::TempFolder folder;
  write_gguf(folder.path("x.gguf"), {{"general.architecture", "mamba"}, {"n", 7u}},
             {counting("b", DType::f16, {2, 3}, 12), counting("a", DType::q8_0, {32}, 34)});
  test::GgufParts expected;
  expected.pairs.push_back(test::u32_pair("n", 7));
  expected.tensors = {test::tensor_info("b", {3, 2}, 1, 0), test::tensor_info("a", {32}, 8, 32)};
  expected.data.resize(32 + 64, '\0');
  for (size_t i = 0; i < 12; ++i) expected.data[i] = static_cast<char>(i + 1);
  for (size_t i = 0; i < 34; ++i) expected.data[32 + i] = static_cast<char>(i + 1);
  EXPECT_EQ(read(folder.path("x.gguf")), expected.bytes());
}

TEST(GgufWriter, EveryKindOfMetadataComesBack) {
  ordered_json metadata = kMetadata;
  metadata["u32"] = 4'000'000'000u;
  metadata["u64"] = ~uint64_t{0};
  metadata["i32"] = -7;
  metadata["i64"] = int64_t{-1} << 40;
  metadata["f32"] = 1e-5f;
  metadata["bool"] = false;
  metadata["text"] = "Größe";
  metadata["none"] = json::array();
  metadata["texts"] = {"a", ""};
  metadata["flags"] = {true, false};
  metadata["ids"] = {3, -1};
  metadata["wide"] = {uint64_t{1}, uint64_t{1} << 40};
  metadata["scores"] = {-1.5f, 0.0f};
  const test::TempFolder folder;
  write_gguf(folder.path("x.gguf"), metadata, {});
  EXPECT_EQ(open_checkpoint(folder.path("x.gguf"))->config(), json(metadata));
}

// Programs look at the type, not only at the value.
TEST(GgufWriter, SignedNumbersAreI32AndUnsignedU32) {
  const test::TempFolder folder;
  ordered_json metadata = kMetadata;
  metadata["types"] = std::vector<int32_t>{1, 3};
  metadata["id"] = uint32_t{5};
  write_gguf(folder.path("x.gguf"), metadata, {});
  const std::string bytes = read(folder.path("x.gguf"));
  EXPECT_THAT(bytes, HasSubstr(test::array_pair("types", 5, 2,
                                                test::raw(int32_t{1}) + test::raw(int32_t{3}))));
  EXPECT_THAT(bytes, HasSubstr(test::u32_pair("id", 5)));
}

TEST(GgufWriter, WhatTheFormatCannotHoldIsRefusedAndLeavesNothing) {
  const test::TempFolder folder;
  const std::string path = folder.path("x.gguf");
  const auto refusal = [&](const char* key, const ordered_json& value) {
    ordered_json metadata = kMetadata;
    metadata[key] = value;
    return message_of<InputError>([&] { write_gguf(path, metadata, {}); });
  };
  EXPECT_THAT(refusal("k", nullptr), AllOf(HasSubstr(path), HasSubstr("\"k\" is null")));
  EXPECT_THAT(refusal("k", ordered_json::object()), HasSubstr("is object"));
  EXPECT_THAT(refusal("k", {1, "one"}), HasSubstr("values of different kinds"));
  EXPECT_THAT(refusal("k", {{1}, {2}}), HasSubstr("values of different kinds"));
  EXPECT_THAT(refusal("k", "\xff"), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal("k", {"a", "\xc3"}), HasSubstr("not UTF-8"));
  const std::string name(64, 'n');
  EXPECT_THAT(message_of<InputError>(
                  [&] { write_gguf(path, kMetadata, {counting(name, DType::f32, {1}, 4)}); }),
              HasSubstr("a name of 64 bytes; GGUF takes 1 to 63"));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(GgufWriter, AFailureHalfWayLeavesTheOldFile) {
  const test::TempFolder folder;
  const std::string path = folder.write("x.gguf", "old");
  const GgufTensor failing = {"b", DType::f32, {2}, [](const GgufSink& sink) {
                                const std::array<std::byte, 4> half{};
                                sink(half);
                                throw Failure("the source has gone");
                              }};
  EXPECT_EQ(message_of<Failure>([&] {
              write_gguf(path, kMetadata, {counting("a", DType::f32, {1}, 4), failing});
            }),
            "the source has gone");
  EXPECT_EQ(read(path), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

TEST(GgufWriter, PathsThatCannotBeWrittenAreNamed) {
  const test::TempFolder folder;
  for (const std::string& path : {folder.path("no/such/x.gguf"), folder.path()})
    EXPECT_THAT(message_of<InputError>([&] { write_gguf(path, kMetadata, {}); }), HasSubstr(path));
}

}  // namespace
}  // namespace krait
