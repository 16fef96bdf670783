// What kind of checkpoint a path is: containers by content, folders by what they hold, and the
// refusals that say what was found instead.
#include "src/formats/container.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/formats/open.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/formats/torch_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::TempFolder;
using testing::AllOf;
using testing::HasSubstr;

// One byte tensor "w" in each container.
std::string safetensors_file(char content = 's') {
  return test::safetensors("{" + test::entry("w", "U8", "[1]", 0, 1) + "}",
                           std::string(1, content));
}
std::string torch_file() {
  return test::torch_zip(
      test::pickle(
          test::dict({{"w", test::tensor(test::storage("ByteStorage", "0", 1), 0, {1}, {1})}})),
      {{"0", "t"}});
}

std::string gguf_file() { return test::GgufParts{}.bytes(); }

std::string refusal(const std::string& path) {
  return test::message_of<InputError>([&] { open_checkpoint(path); });
}

char content_of(const std::string& path) {
  return static_cast<char>(open_checkpoint(path)->find("w")->data[0]);
}

TEST(ContainerOf, GoesByTheFirstBytes) {
  const TempFolder folder;
  const auto told = [&](const std::string& bytes) {
    return container_of(folder.write("x", bytes));
  };
  EXPECT_EQ(told(safetensors_file()), Container::safetensors);
  EXPECT_EQ(told(torch_file()), Container::torch);
  EXPECT_EQ(told(gguf_file()), Container::gguf);
  EXPECT_EQ(told(std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")),
            Container::torch);
  for (const char* other : {"", "{", "junk", "GGU", "PK\x05\x06", "12345678{}"})
    EXPECT_EQ(told(other), std::nullopt) << other;
}

TEST(ContainerOf, NamesWhatIsCommonlyFoundInThePlaceOfWeights) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  const std::string file = folder.write(
      "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n");
  EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr(file), HasSubstr("a Git LFS pointer")));
  folder.write("model.safetensors", "<!DOCTYPE html><html>");
  EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr(file), HasSubstr("a web page")));
}

TEST(OpenByContent, NamesMayMislead) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  EXPECT_EQ(content_of(folder.write("a.bin", safetensors_file())), 's');
  EXPECT_EQ(content_of(folder.write("a.safetensors", torch_file())), 't');
  EXPECT_EQ(content_of(folder.write("a.gguf", torch_file())), 't');
  EXPECT_EQ(content_of(folder.write("blob", safetensors_file())), 's');
  EXPECT_EQ(open_checkpoint(folder.path("a.bin"))->container(), "safetensors");
  EXPECT_EQ(open_checkpoint(folder.write("b.bin", gguf_file()))->container(), "GGUF");
  folder.write("pytorch_model.bin", safetensors_file());
  EXPECT_EQ(open_checkpoint(folder.path())->container(), "safetensors");
}

TEST(OpenByContent, ShardsToo) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("pytorch_model.bin.index.json", R"({"weight_map": {"w": "shard"}})");
  folder.write("shard", safetensors_file());
  EXPECT_EQ(content_of(folder.path()), 's');
  EXPECT_EQ(open_checkpoint(folder.path())->container(), "safetensors");
  const std::string shard = folder.write("shard", gguf_file());
  EXPECT_THAT(refusal(folder.path()), HasSubstr(shard + " is a GGUF file"));
}

TEST(OpenMistral, ConsolidatedWeightsWithTheirParams) {
  const TempFolder folder;
  folder.write("params.json", R"({"dim": 8})");
  folder.write("consolidated.safetensors", safetensors_file());
  const auto checkpoint = open_checkpoint(folder.path());
  EXPECT_EQ(checkpoint->config()["dim"], 8);
  EXPECT_EQ(checkpoint->config_name(), "params.json");
  folder.write("config.json", R"({"dim": 9})");
  EXPECT_EQ(open_checkpoint(folder.path())->config()["dim"], 9);
  EXPECT_EQ(open_checkpoint(folder.path())->config_name(), "config.json");
}

TEST(OpenMistral, ConsolidatedShards) {
  const TempFolder folder;
  folder.write("params.json", "{}");
  folder.write("consolidated-00001-of-00001.safetensors", safetensors_file());
  folder.write("consolidated.safetensors.index.json",
               R"({"weight_map": {"w": "consolidated-00001-of-00001.safetensors"}})");
  EXPECT_EQ(content_of(folder.path()), 's');
}

TEST(OpenMistral, BothNamesOfTheConfigAreSaid) {
  const TempFolder folder;
  folder.write("consolidated.safetensors", safetensors_file());
  EXPECT_THAT(refusal(folder.path()),
              AllOf(HasSubstr(folder.path("config.json")), HasSubstr("params.json")));
  folder.write("params.json", "[]");
  EXPECT_THAT(refusal(folder.path()), HasSubstr(folder.path("params.json") + " holds array"));
}

TEST(OpenFolder, PrefersWeightsInTheirOrder) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("any.gguf", gguf_file());
  EXPECT_EQ(open_checkpoint(folder.path())->container(), "GGUF");
  folder.write("consolidated.safetensors", safetensors_file('c'));
  EXPECT_EQ(content_of(folder.path()), 'c');
  folder.write("pytorch_model.bin", torch_file());
  EXPECT_EQ(content_of(folder.path()), 't');
  folder.write("model.safetensors", safetensors_file('m'));
  EXPECT_EQ(content_of(folder.path()), 'm');
}

TEST(OpenFolder, AsksWhichOfSeveralGgufFiles) {
  const TempFolder folder;
  const std::string only = folder.write("b.gguf", gguf_file());
  EXPECT_EQ(open_checkpoint(folder.path())->source(), only);
  folder.write("a.gguf", gguf_file());
  EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr(folder.path() + " holds 2 GGUF files"),
                                            HasSubstr("the one to open: a.gguf, b.gguf")));
  const TempFolder empty;
  EXPECT_THAT(refusal(empty.path()),
              AllOf(HasSubstr("consolidated.safetensors"), HasSubstr("*.gguf")));
}

}  // namespace
}  // namespace krait
