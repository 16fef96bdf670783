// PyTorch files: those that PyTorch wrote, against safetensors of the same tensors, and the rules
// of both containers and of the dictionary inside.
#include "src/formats/torch_file.h"

#include <cstring>
#include <string>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/formats/open.h"
#include "src/formats/safetensors.h"
#include "tests/formats/torch_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::dict;
using test::integer;
using test::kLegacyMagic;
using test::legacy_keys;
using test::legacy_system;
using test::pickle;
using test::storage;
using test::TempFolder;
using test::tensor;
using test::text;
using test::torch_zip;
using test::u64;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kGolden = std::string(KRAIT_TEST_GOLDEN) + "/torch/";

std::string bytes_of(const Tensor& tensor) {
  return {reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()};
}

const Tensor& tensor_of(const WeightsFile& file, const std::string& name) {
  for (const WeightsEntry& entry : file.entries)
    if (entry.name == name) return entry.tensor;
  throw std::runtime_error("no tensor " + name);
}

class TorchFile : public testing::Test {
 protected:
  WeightsFile read(const std::string& bytes) {
    return read_torch_file(folder.write("x.bin", bytes));
  }
  std::string refusal(const std::string& bytes) {
    const std::string message = test::message_of<InputError>([&] { read(bytes); });
    EXPECT_THAT(message, HasSubstr(folder.path("x.bin")));
    return message;
  }
  TempFolder folder;
};

// ---- what PyTorch wrote ----

class WrittenByTorch : public testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(WrittenByTorch, HoldsTheTensorsOfItsSafetensors) {
  const auto& [file, reference] = GetParam();
  const WeightsFile read = read_torch_file(kGolden + file);
  const WeightsFile expected = read_safetensors(kGolden + reference + ".safetensors");
  ASSERT_EQ(read.entries.size(), expected.entries.size());
  ASSERT_GT(read.entries.size(), 2);
  for (size_t i = 0; i < read.entries.size(); ++i) {
    const WeightsEntry &a = read.entries[i], &b = expected.entries[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.tensor.dtype, b.tensor.dtype) << a.name;
    EXPECT_EQ(a.tensor.shape, b.tensor.shape) << a.name;
    EXPECT_EQ(bytes_of(a.tensor), bytes_of(b.tensor)) << a.name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    , WrittenByTorch,
    testing::Values(std::pair("mixed.bin", "mixed"), std::pair("mixed_legacy.bin", "mixed"),
                    std::pair("module.bin", "module"), std::pair("module_legacy.bin", "module"),
                    std::pair("parameters.bin", "parameters")),
    [](const auto& tested) { return tested.param.first.substr(0, tested.param.first.find('.')); });

TEST(TorchGolden, ContiguousTensorsAreViewsAndOthersAreCopiedOnce) {
  for (const char* name : {"mixed.bin", "mixed_legacy.bin"}) {
    const WeightsFile file = read_torch_file(kGolden + name);
    const auto mapped = [&](const std::string& tensor) {
      return file.file.contains(tensor_of(file, tensor).data.data());
    };
    for (const char* view : {"f32", "bf16", "base", "rows", "one_row", "rank0"})
      EXPECT_TRUE(mapped(view)) << view;
    for (const char* copy : {"transposed", "columns", "permuted", "every_other", "repeated"})
      EXPECT_FALSE(mapped(copy)) << copy;
    EXPECT_EQ(tensor_of(file, "transposed").data.data(),
              tensor_of(file, "transposed_again").data.data());
    EXPECT_EQ(tensor_of(file, "rows").data.data(), tensor_of(file, "base").data.data() + 2 * 8 * 4);
    EXPECT_EQ(file.copies.size(), 6);
  }
}

TEST(TorchGolden, TiedTensorsShareTheirBytes) {
  for (const char* name : {"module.bin", "module_legacy.bin"}) {
    const WeightsFile file = read_torch_file(kGolden + name);
    EXPECT_EQ(tensor_of(file, "head.weight").data.data(),
              tensor_of(file, "embedding.weight").data.data());
    EXPECT_TRUE(file.copies.empty());
  }
}

TEST(TorchGolden, ShardsAreReadThroughTheirIndex) {
  const auto checkpoint = open_checkpoint(kGolden + "shards");
  const WeightsFile expected = read_safetensors(kGolden + "shards.safetensors");
  EXPECT_EQ(checkpoint->container(), "PyTorch");
  EXPECT_EQ(checkpoint->config()["d_model"], 6);
  ASSERT_EQ(checkpoint->names().size(), expected.entries.size());
  for (const WeightsEntry& entry : expected.entries)
    EXPECT_EQ(bytes_of(*checkpoint->find(entry.name)), bytes_of(entry.tensor)) << entry.name;
  EXPECT_THAT(checkpoint->file_of("embedding.weight"), HasSubstr("00001-of-00002.bin"));
  for (const std::string& name : checkpoint->names()) checkpoint->release(*checkpoint->find(name));
}

TEST(TorchGolden, ATorchScriptArchiveIsRefused) {
  EXPECT_THAT(test::message_of<InputError>([] { read_torch_file(kGolden + "script.pt"); }),
              AllOf(HasSubstr("script.pt"), HasSubstr("TorchScript")));
}

// ---- the zip container ----

const std::string kTwoFloats = "\1\2\3\4\5\6\7\x08";

std::string two_floats() { return tensor(storage("FloatStorage", "0", 2), 0, {2}, {1}); }

TEST_F(TorchFile, ReadsAHandMadeZip) {
  const WeightsFile file =
      read(torch_zip(pickle(dict({{"w", two_floats()}})), {{"0", kTwoFloats}},
                     {{"archive/byteorder", "little"}, {"archive/.format_version", "1"}}));
  EXPECT_EQ(bytes_of(tensor_of(file, "w")), kTwoFloats);
}

TEST_F(TorchFile, RefusesBigEndianZips) {
  EXPECT_THAT(refusal(torch_zip(pickle(dict({{"w", two_floats()}})), {{"0", kTwoFloats}},
                                {{"archive/byteorder", "big"}})),
              HasSubstr("byteorder is \"big\"; expected \"little\""));
}

TEST_F(TorchFile, RefusesTorchScript) {
  const std::string data = pickle(dict({{"w", two_floats()}}));
  for (const char* member : {"archive/constants.pkl", "archive/code/__torch__.py"})
    EXPECT_THAT(refusal(torch_zip(data, {{"0", kTwoFloats}}, {{member, "x"}})),
                HasSubstr("TorchScript"));
}

TEST_F(TorchFile, RefusesAZipWithoutPickle) {
  EXPECT_THAT(refusal(test::zip({{"a/b", "x"}})), HasSubstr("no data.pkl"));
}

TEST_F(TorchFile, RefusesAZipOfSeveralPickles) {
  EXPECT_THAT(refusal(torch_zip(pickle("}"), {}, {{"archive/b/data.pkl", "x"}})),
              AllOf(HasSubstr("several pickles"), HasSubstr("archive/b/data.pkl")));
}

TEST_F(TorchFile, RefusesMembersOutsideTheRoot) {
  EXPECT_THAT(refusal(torch_zip(pickle("}"), {}, {{"other/x", "x"}})),
              HasSubstr("\"other/x\" lies outside the folder \"archive/\""));
}

TEST_F(TorchFile, RefusesOtherVersions) {
  for (const char* version : {"11\n", "0", "", "x", "3x", "3\n\n", "99999999999", "-3"})
    EXPECT_THAT(refusal(test::zip({{"a/data.pkl", pickle("}")}, {"a/version", version}})),
                HasSubstr("expected 1 to 10"))
        << version;
  EXPECT_THAT(refusal(test::zip({{"a/data.pkl", pickle("}")}})),
              HasSubstr("no member \"a/version\""));
}

TEST_F(TorchFile, RefusesAMissingStorage) {
  EXPECT_THAT(refusal(torch_zip(pickle(dict({{"w", two_floats()}})), {{"1", kTwoFloats}})),
              HasSubstr("no member \"archive/data/0\""));
}

TEST_F(TorchFile, RefusesAStorageOfAnotherSize) {
  EXPECT_THAT(refusal(torch_zip(pickle(dict({{"w", two_floats()}})), {{"0", kTwoFloats + "x"}})),
              AllOf(HasSubstr("\"archive/data/0\" has 9 bytes"), HasSubstr("need 8")));
}

TEST_F(TorchFile, RefusesBytesAfterThePickle) {
  EXPECT_THAT(refusal(torch_zip(pickle(dict({{"w", two_floats()}})) + "N.", {{"0", kTwoFloats}})),
              HasSubstr("2 bytes follow the pickle"));
}

TEST_F(TorchFile, NamesThePlaceOfAFaultyPickle) {
  EXPECT_THAT(refusal(torch_zip(pickle("}K\1a"))),
              HasSubstr("x.bin (data.pkl): pickle byte 5: it appends to a dictionary"));
}

// ---- the dictionary ----

TEST_F(TorchFile, ReadsADictionaryUnderAWellKnownKey) {
  for (const char* key : {"state_dict", "model", "model_state_dict"})
    EXPECT_EQ(read(torch_zip(pickle(dict({{"epoch", "K\3"}, {key, dict({{"w", two_floats()}})}})),
                             {{"0", kTwoFloats}}))
                  .entries.at(0)
                  .name,
              "w");
}

TEST_F(TorchFile, RefusesTwoWrappedDictionaries) {
  const std::string inner = dict({{"w", two_floats()}});
  EXPECT_THAT(refusal(torch_zip(pickle(dict({{"model", inner}, {"state_dict", inner}})),
                                {{"0", kTwoFloats}})),
              HasSubstr("\"model\" is a dictionary; expected a tensor"));
}

TEST_F(TorchFile, RefusesOtherRoots) {
  EXPECT_THAT(refusal(torch_zip(pickle("]"))), HasSubstr("holds a list; expected a dictionary"));
  EXPECT_THAT(refusal(torch_zip(pickle(two_floats()), {{"0", kTwoFloats}})),
              HasSubstr("holds a tensor; expected a dictionary"));
  EXPECT_THAT(refusal(torch_zip(pickle("}"))), HasSubstr("holds no tensors"));
}

TEST_F(TorchFile, RefusesItemsThatAreNoTensors) {
  EXPECT_THAT(refusal(torch_zip(pickle(dict({{"epoch", "K\3"}})))),
              HasSubstr("\"epoch\" is an integer; expected a tensor"));
  EXPECT_THAT(refusal(torch_zip(pickle(dict({{"layers", dict({})}})))),
              HasSubstr("\"layers\" is a dictionary"));
}

TEST_F(TorchFile, RefusesKeysThatAreNoNames) {
  EXPECT_THAT(refusal(torch_zip(pickle("}K\3" + two_floats() + "s"), {{"0", kTwoFloats}})),
              HasSubstr("a key of its dictionary is an integer"));
}

TEST_F(TorchFile, RefusesDuplicateNames) {
  EXPECT_THAT(refusal(torch_zip(pickle(dict({{"w", two_floats()}, {"w", two_floats()}})),
                                {{"0", kTwoFloats}})),
              HasSubstr("two tensors are called \"w\""));
}

TEST_F(TorchFile, RefusesCopiesLargerThanTheFile) {
  const std::string stored = storage("FloatStorage", "0", 2);
  const auto repeated = [&](int64_t rows) {
    return torch_zip(pickle(dict({{"w", tensor(stored, 0, {rows, 2}, {0, 1})}})),
                     {{"0", kTwoFloats}});
  };
  EXPECT_EQ(bytes_of(tensor_of(read(repeated(3)), "w")), kTwoFloats + kTwoFloats + kTwoFloats);
  EXPECT_THAT(refusal(repeated(int64_t{1} << 60)), HasSubstr("larger than the file"));
  std::vector<std::pair<std::string, std::string>> many;
  for (int64_t i = 2; i < 100; ++i)
    many.emplace_back("w" + std::to_string(i), tensor(stored, 0, {i * 100, 2}, {0, 1}));
  EXPECT_THAT(refusal(torch_zip(pickle(dict(many)), {{"0", kTwoFloats}})),
              HasSubstr("larger than the file"));
}

// ---- the legacy container ----

std::string legacy_storage(const std::string& bytes, size_t numel) { return u64(numel) + bytes; }

// Five pickles, then the storages.
struct Legacy {
  std::string protocol = pickle("M\xe9\x03");
  std::string system = legacy_system();
  std::string object = pickle(dict({{"w", two_floats()}}));
  std::string keys = legacy_keys({"0"});
  std::string storages = legacy_storage(kTwoFloats, 2);
  std::string bytes() const { return kLegacyMagic + protocol + system + object + keys + storages; }
};

TEST_F(TorchFile, ReadsStoragesInTheOrderOfTheirKeys) {
  Legacy legacy;
  legacy.object = pickle(
      dict({{"w", two_floats()}, {"b", tensor(storage("ByteStorage", "77", 3), 1, {2}, {1})}}));
  legacy.keys = legacy_keys({"77", "0"});
  legacy.storages = legacy_storage("abc", 3) + legacy_storage(kTwoFloats, 2);
  const WeightsFile file = read(legacy.bytes());
  EXPECT_EQ(bytes_of(tensor_of(file, "w")), kTwoFloats);
  EXPECT_EQ(bytes_of(tensor_of(file, "b")), "bc");
}

TEST_F(TorchFile, RefusesLegacyFilesOfOtherProtocols) {
  EXPECT_THAT(refusal(Legacy{.protocol = pickle("M\xea\x03")}.bytes()),
              HasSubstr("protocol version is 1002; expected 1001"));
  EXPECT_THAT(refusal(Legacy{.protocol = pickle("N")}.bytes()),
              HasSubstr("is None; expected 1001"));
}

TEST_F(TorchFile, RefusesBigEndianLegacyFiles) {
  for (const std::string& system : {legacy_system("\x89"), legacy_system("K\1"), pickle("}")})
    EXPECT_THAT(refusal(Legacy{.system = system}.bytes()), HasSubstr("little_endian is not True"));
  EXPECT_THAT(refusal(Legacy{.system = pickle("]")}.bytes()),
              HasSubstr("third pickle is a list; expected a dictionary"));
}

TEST_F(TorchFile, RefusesLegacyKeysThatDoNotFitTheTensors) {
  EXPECT_THAT(refusal(Legacy{.keys = pickle("}")}.bytes()), HasSubstr("fifth pickle is a dict"));
  EXPECT_THAT(refusal(Legacy{.keys = pickle("]K\1a")}.bytes()), HasSubstr("holds an integer"));
  EXPECT_THAT(refusal(Legacy{.keys = legacy_keys({"1"})}.bytes()), HasSubstr("holds \"1\""));
  EXPECT_THAT(refusal(Legacy{.keys = legacy_keys({})}.bytes()), HasSubstr("lacks \"0\""));
  EXPECT_THAT(refusal(Legacy{.keys = legacy_keys({"0", "0"})}.bytes()), HasSubstr("holds \"0\""));
}

TEST_F(TorchFile, RefusesALegacyStorageOfAnotherLength) {
  EXPECT_THAT(refusal(Legacy{.storages = legacy_storage(kTwoFloats, 3)}.bytes()),
              HasSubstr("storage \"0\" has 3 elements; expected 2"));
}

TEST_F(TorchFile, RefusesALegacyStorageThatIsCutShort) {
  EXPECT_THAT(refusal(Legacy{.storages = "1234567"}.bytes()), HasSubstr("length needs 8 bytes, 7"));
  EXPECT_THAT(refusal(Legacy{.storages = legacy_storage("1234567", 2)}.bytes()),
              HasSubstr("needs 8 bytes, 7 are left"));
}

TEST_F(TorchFile, RefusesALegacyStorageOf2To60Elements) {
  const int64_t huge = int64_t{1} << 60;
  Legacy legacy;
  legacy.object = pickle(dict({{"w", tensor(storage("ByteStorage", "0", huge), 0, {huge}, {1})}}));
  legacy.storages = legacy_storage("x", static_cast<size_t>(huge));
  EXPECT_THAT(refusal(legacy.bytes()), HasSubstr("needs 1152921504606846976 bytes, 1 are left"));
}

TEST_F(TorchFile, RefusesBytesAfterTheLastLegacyStorage) {
  EXPECT_THAT(refusal(Legacy{}.bytes() + "xy"), HasSubstr("2 bytes follow the last storage"));
}

// ---- what is neither ----

TEST_F(TorchFile, RefusesOtherFilesByName) {
  std::string tar(512, '\0');
  EXPECT_THAT(refusal(tar.replace(257, 5, "ustar")), HasSubstr("tar archive"));
  EXPECT_THAT(refusal(pickle("}")), HasSubstr("bare pickle"));
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\n"),
              HasSubstr("Git LFS pointer"));
  EXPECT_THAT(refusal("junk"), HasSubstr("begins with \"junk\""));
  EXPECT_THAT(refusal("x"), HasSubstr("no file by torch.save"));
  EXPECT_THAT(refusal(""), HasSubstr("is empty"));
}

}  // namespace
}  // namespace krait
