// Folders and files of PyTorch weights, and what is preferred to them.
#include <string>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/formats/open.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/formats/torch_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::TempFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// One byte tensor "w" that holds `content`.
std::string bin_file(char content) {
  return test::torch_zip(
      test::pickle(
          test::dict({{"w", test::tensor(test::storage("ByteStorage", "0", 1), 0, {1}, {1})}})),
      {{"0", std::string(1, content)}});
}
std::string safetensors_file(char content) {
  return test::safetensors("{" + test::entry("w", "U8", "[1]", 0, 1) + "}",
                           std::string(1, content));
}

std::string content_of(const std::string& path) {
  const auto checkpoint = open_checkpoint(path);
  return {reinterpret_cast<const char*>(checkpoint->find("w")->data.data()), 1};
}

class OpenTorch : public testing::Test {
 protected:
  OpenTorch() { folder.write("config.json", R"({"ssm_cfg": {"layer": "Mamba2"}})"); }
  TempFolder folder;
};

TEST_F(OpenTorch, ReadsAFolder) {
  const std::string weights = folder.write("pytorch_model.bin", bin_file('b'));
  const auto checkpoint = open_checkpoint(folder.path());
  EXPECT_EQ(checkpoint->source(), folder.path());
  EXPECT_EQ(checkpoint->container(), "PyTorch");
  EXPECT_EQ(checkpoint->config()["ssm_cfg"]["layer"], "Mamba2");
  EXPECT_THAT(checkpoint->names(), ElementsAre("w"));
  EXPECT_EQ(checkpoint->file_of("w"), weights);
  EXPECT_EQ(checkpoint->find("v"), nullptr);
}

TEST_F(OpenTorch, ReadsAFileOfAnyUsualExtension) {
  for (const char* name : {"a.bin", "a.pt", "a.pth"})
    EXPECT_EQ(content_of(folder.write(name, bin_file('f'))), "f");
}

TEST_F(OpenTorch, PrefersSafetensorsThenTheSingleFileThenTheIndex) {
  const std::string index = R"({"weight_map": {"w": "shard"}})";
  folder.write("shard", bin_file('4'));
  folder.write("pytorch_model.bin.index.json", index);
  EXPECT_EQ(content_of(folder.path()), "4");
  folder.write("pytorch_model.bin", bin_file('3'));
  EXPECT_EQ(content_of(folder.path()), "3");
  folder.write("model.safetensors.index.json", R"({"weight_map": {"w": "shard2"}})");
  folder.write("shard2", safetensors_file('2'));
  EXPECT_EQ(content_of(folder.path()), "2");
  folder.write("model.safetensors", safetensors_file('1'));
  EXPECT_EQ(content_of(folder.path()), "1");
}

TEST_F(OpenTorch, HoldsTheIndexToItsShards) {
  folder.write("shard", bin_file('s'));
  const auto refusal = [&](const std::string& map) {
    folder.write("pytorch_model.bin.index.json", "{\"weight_map\": " + map + "}");
    return test::message_of<InputError>([&] { open_checkpoint(folder.path()); });
  };
  EXPECT_THAT(refusal(R"({"w": "shard", "v": "shard"})"),
              AllOf(HasSubstr("pytorch_model.bin.index.json"), HasSubstr("\"v\""),
                    HasSubstr("does not hold it")));
  EXPECT_THAT(refusal(R"({"w": "../shard"})"), HasSubstr("in the same folder"));
  EXPECT_THAT(refusal(R"({"w": "none"})"), HasSubstr("there is no"));
  folder.write("shard2", bin_file('t'));
  EXPECT_THAT(refusal(R"({"w": "shard", "v": "shard2"})"), HasSubstr("holds one too"));
}

TEST_F(OpenTorch, NamesTheShardThatIsDamaged) {
  folder.write("shard", "junk");
  folder.write("pytorch_model.bin.index.json", R"({"weight_map": {"w": "shard"}})");
  EXPECT_THAT(test::message_of<InputError>([&] { open_checkpoint(folder.path()); }),
              HasSubstr(folder.path("shard")));
}

TEST(OpenTorchFile, NeedsAConfig) {
  const TempFolder folder;
  const std::string file = folder.write("pytorch_model.bin", bin_file('b'));
  for (const std::string& path : {folder.path(), file})
    EXPECT_THAT(test::message_of<InputError>([&] { open_checkpoint(path); }),
                HasSubstr(folder.path("config.json")));
}

}  // namespace
}  // namespace krait
