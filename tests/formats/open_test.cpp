#include "src/formats/open.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/mman.h>

#include "krait/error.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::entry;
using test::safetensors;
using test::TempFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* kIndex = "model.safetensors.index.json";

// One byte tensor per name, holding `content`.
std::string file_with(const std::vector<std::string>& names, char content) {
  std::string header;
  for (size_t i = 0; i < names.size(); ++i)
    header += (i ? "," : "{") + entry(names[i], "U8", "[1]", i, i + 1);
  return safetensors(names.empty() ? "{}" : header + "}", std::string(names.size(), content));
}

std::string text_of(const Tensor* tensor) {
  if (!tensor) return "none";
  return {reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size()};
}

std::string refusal(const std::string& path) {
  return test::message_of<InputError>([&] { open_checkpoint(path); });
}

TEST(OpenCheckpoint, ReadsAFolder) {
  const TempFolder folder;
  folder.write("config.json", R"({"model_type": "mamba", "time_step_limit": [0.0, Infinity]})");
  const std::string weights = folder.write("model.safetensors", file_with({"b", "a"}, 'w'));
  const auto checkpoint = open_checkpoint(folder.path());
  EXPECT_EQ(checkpoint->source(), folder.path());
  EXPECT_EQ(checkpoint->container(), "safetensors");
  EXPECT_EQ(checkpoint->config()["model_type"], "mamba");
  EXPECT_THAT(checkpoint->names(), ElementsAre("a", "b"));
  EXPECT_EQ(text_of(checkpoint->find("a")), "w");
  EXPECT_EQ(checkpoint->find("a")->dtype, DType::u8);
  EXPECT_EQ(checkpoint->find("c"), nullptr);
  EXPECT_EQ(checkpoint->find(""), nullptr);
  EXPECT_EQ(checkpoint->find("aa"), nullptr);
  EXPECT_EQ(checkpoint->file_of("b"), weights);
}

TEST(OpenCheckpoint, ReadsAFileWithItsConfig) {
  const TempFolder folder;
  folder.write("config.json", R"({"x": 1})");
  const std::string weights = folder.write("other.safetensors", file_with({"a"}, 'w'));
  const auto checkpoint = open_checkpoint(weights);
  EXPECT_EQ(checkpoint->source(), weights);
  EXPECT_EQ(checkpoint->config()["x"], 1);
  EXPECT_EQ(text_of(checkpoint->find("a")), "w");
}

TEST(OpenCheckpoint, FollowsSymlinksAsTheHubCacheHasThem) {
  const TempFolder folder;
  folder.write("blobs/1", "{}");
  folder.write("blobs/2", file_with({"a"}, 'w'));
  fs::create_directories(folder.path("snapshots/c"));
  fs::create_symlink("../../blobs/1", folder.path("snapshots/c/config.json"));
  fs::create_symlink("../../blobs/2", folder.path("snapshots/c/model.safetensors"));
  EXPECT_EQ(text_of(open_checkpoint(folder.path("snapshots/c"))->find("a")), "w");
  EXPECT_EQ(text_of(open_checkpoint(folder.path("snapshots/c/model.safetensors"))->find("a")), "w");
}

TEST(OpenCheckpoint, PrefersTheSingleFileToTheIndex) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", file_with({"a"}, '1'));
  folder.write(kIndex, R"({"weight_map": {"a": "none.safetensors"}})");
  EXPECT_EQ(text_of(open_checkpoint(folder.path())->find("a")), "1");
}

TEST(OpenCheckpoint, PassesTensorsOfUnreadTypesUntilAskedForThem) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  const std::string weights = folder.write(
      "model.safetensors", safetensors("{" + entry("a", "U8", "[1]", 0, 1) + "," +
                                           entry("x.weight", "F8_E4M3", "[1]", 1, 2) + "}",
                                       "12"));
  const auto checkpoint = open_checkpoint(folder.path());
  EXPECT_EQ(text_of(checkpoint->find("a")), "1");
  EXPECT_THAT(checkpoint->names(), ElementsAre("a", "x.weight"));
  EXPECT_THAT(test::message_of<InputError>([&] { checkpoint->find("x.weight"); }),
              AllOf(HasSubstr(weights), HasSubstr("tensor \"x.weight\" has type F8_E4M3")));
}

TEST(OpenCheckpoint, ReleasesPagesThatComeBack) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  const size_t bytes = 1 << 20;
  folder.write("model.safetensors",
               safetensors("{" + entry("a", "U8", "[1048576]", 0, bytes) + "," +
                               entry("empty", "U8", "[0]", bytes, bytes) + "}",
                           std::string(bytes, 'w')));
  const auto checkpoint = open_checkpoint(folder.path());
  const Tensor& tensor = *checkpoint->find("a");
  EXPECT_EQ(text_of(&tensor), std::string(bytes, 'w'));
  checkpoint->release(*checkpoint->find("empty"));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        checkpoint->release(tensor);
        ASSERT_EQ(tensor.data[bytes / 2], std::byte{'w'});
      }
    });
  for (std::thread& thread : threads) thread.join();
  checkpoint->release(tensor);
  EXPECT_EQ(text_of(&tensor), std::string(bytes, 'w'));
}

TEST(OpenCheckpoint, NamesAMissingPath) {
  const TempFolder folder;
  EXPECT_THAT(refusal(folder.path("none")), HasSubstr("no file or folder " + folder.path("none")));
}

TEST(OpenCheckpoint, SaysWhatItLookedForInAFolderWithoutWeights) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  EXPECT_THAT(refusal(folder.path()),
              AllOf(HasSubstr(folder.path()), HasSubstr("model.safetensors"), HasSubstr(kIndex)));
}

TEST(OpenCheckpoint, NamesAFileOfAnUnknownKind) {
  const TempFolder folder;
  EXPECT_THAT(refusal(folder.write("weights.onnx", "\x08xyz")),
              AllOf(HasSubstr("weights.onnx"), HasSubstr("not a kind of checkpoint"),
                    HasSubstr("begins with \"\\bxyz\"")));
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("/dev/null: it is not a regular file"));
}

TEST(OpenCheckpoint, NeedsAConfig) {
  const TempFolder folder;
  const std::string weights = folder.write("model.safetensors", file_with({"a"}, 'w'));
  EXPECT_THAT(refusal(folder.path()), HasSubstr(folder.path("config.json")));
  EXPECT_THAT(refusal(weights), HasSubstr(folder.path("config.json")));
  folder.write("config.json", "[]");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("holds array; expected an object"));
  folder.write("config.json", "{\"a\": }");
  EXPECT_THAT(refusal(folder.path()), HasSubstr(folder.path("config.json") + ":1:7: "));
}

TEST(OpenCheckpoint, NamesADamagedWeightsFile) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  const std::string whole = file_with({"a"}, 'w');
  const std::string weights = folder.write("model.safetensors", whole.substr(0, whole.size() - 1));
  EXPECT_THAT(refusal(folder.path()), HasSubstr(weights));
  folder.write("model.safetensors", "");
  EXPECT_THAT(refusal(folder.path()), HasSubstr(weights + " is empty"));
  fs::remove(weights);
  fs::create_directory(weights);
  EXPECT_THAT(refusal(folder.path()), HasSubstr("it is a folder"));
}

// A folder of two shards: a, b in the first, c in the second.
class Sharded : public testing::Test {
 protected:
  Sharded() {
    folder.write("config.json", "{}");
    folder.write("s1.safetensors", file_with({"b", "a"}, '1'));
    folder.write("s2.safetensors", file_with({"c"}, '2'));
  }
  std::string refused_index(const std::string& index) {
    const std::string path = folder.write(kIndex, index);
    const std::string message = refusal(folder.path());
    EXPECT_THAT(message, HasSubstr(path));
    return message;
  }
  std::string refused_map(const std::string& map) {
    return refused_index("{\"weight_map\": " + map + "}");
  }
  TempFolder folder;
};

TEST_F(Sharded, ReadsEveryMappedTensor) {
  folder.write(kIndex, R"({"metadata": {"total_size": 3}, "weight_map": {"c": "s2.safetensors",)"
                       R"( "a": "s1.safetensors", "b": "s1.safetensors"}})");
  const auto checkpoint = open_checkpoint(folder.path());
  EXPECT_THAT(checkpoint->names(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(text_of(checkpoint->find("a")), "1");
  EXPECT_EQ(text_of(checkpoint->find("b")), "1");
  EXPECT_EQ(text_of(checkpoint->find("c")), "2");
  EXPECT_EQ(checkpoint->file_of("b"), folder.path("s1.safetensors"));
  EXPECT_EQ(checkpoint->file_of("c"), folder.path("s2.safetensors"));
  checkpoint->release(*checkpoint->find("c"));
}

TEST_F(Sharded, IgnoresTensorsThatTheIndexDoesNotMap) {
  folder.write("s2.safetensors", file_with({"c", "b2", "extra"}, '2'));
  folder.write(kIndex, R"({"weight_map": {"c": "s2.safetensors", "a": "s1.safetensors"}})");
  const auto checkpoint = open_checkpoint(folder.path());
  EXPECT_THAT(checkpoint->names(), ElementsAre("a", "c"));
  EXPECT_EQ(checkpoint->find("extra"), nullptr);
  EXPECT_EQ(checkpoint->find("b"), nullptr);
}

TEST_F(Sharded, RefusesAnIndexThatIsNoObject) {
  EXPECT_THAT(refused_index("[]"), HasSubstr("holds array; expected an object"));
  EXPECT_THAT(refused_index("{"), HasSubstr("not valid JSON"));
}

TEST_F(Sharded, RefusesAnIndexWithoutWeightMap) {
  EXPECT_THAT(refused_index("{}"), HasSubstr("has no \"weight_map\""));
}

TEST_F(Sharded, RefusesAWeightMapThatIsNoObject) {
  for (const char* map : {"[]", "1", "null", "\"a\""})
    EXPECT_THAT(refused_map(map),
                AllOf(HasSubstr("weight_map is"), HasSubstr("expected an object")));
}

TEST_F(Sharded, RefusesAnEmptyWeightMap) { EXPECT_THAT(refused_map("{}"), HasSubstr("is empty")); }

TEST_F(Sharded, RefusesADuplicateTensorInTheWeightMap) {
  EXPECT_THAT(refused_map(R"({"a": "s1.safetensors", "a": "s2.safetensors"})"),
              HasSubstr("duplicate key \"a\""));
}

TEST_F(Sharded, RefusesAFileThatIsNoString) {
  for (const char* file : {"1", "null", "[]", "{}", "[\"s1.safetensors\"]"})
    EXPECT_THAT(refused_map("{\"a\": " + std::string(file) + "}"),
                AllOf(HasSubstr("tensor \"a\""), HasSubstr("expected a file name")));
}

TEST_F(Sharded, RefusesFileNamesThatLeaveTheFolder) {
  for (const char* file : {"", ".", "..", "../s1.safetensors", "/etc/passwd", "x/s1.safetensors",
                           "./s1.safetensors", "..\\\\s1.safetensors", "s1.safetensors\\u0000x"})
    EXPECT_THAT(refused_map("{\"a\": \"" + std::string(file) + "\"}"),
                AllOf(HasSubstr("tensor \"a\""), HasSubstr("in the same folder")))
        << file;
}

TEST_F(Sharded, NamesAMissingShard) {
  EXPECT_THAT(refused_map(R"({"a": "s1.safetensors", "d": "s3.safetensors"})"),
              AllOf(HasSubstr(folder.path("s3.safetensors")), HasSubstr("tensor \"d\"")));
}

TEST_F(Sharded, NamesADamagedShard) {
  folder.write("s2.safetensors", "junk");
  folder.write(kIndex, R"({"weight_map": {"a": "s1.safetensors", "c": "s2.safetensors"}})");
  EXPECT_THAT(refusal(folder.path()), HasSubstr(folder.path("s2.safetensors")));
}

TEST_F(Sharded, RefusesATensorThatItsShardDoesNotHold) {
  EXPECT_THAT(refused_map(R"({"a": "s1.safetensors", "d": "s1.safetensors"})"),
              AllOf(HasSubstr("tensor \"d\""), HasSubstr("does not hold it")));
  EXPECT_THAT(refused_map(R"({"a": "s2.safetensors"})"), HasSubstr("does not hold it"));
}

TEST_F(Sharded, RefusesATensorInTwoShards) {
  folder.write("s2.safetensors", file_with({"c", "a"}, '2'));
  EXPECT_THAT(refused_map(R"({"a": "s1.safetensors", "c": "s2.safetensors"})"),
              AllOf(HasSubstr("tensor \"a\""), HasSubstr("\"s2.safetensors\" holds one too")));
}

}  // namespace
}  // namespace krait
