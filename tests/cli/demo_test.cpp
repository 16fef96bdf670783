#include <algorithm>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Demo, QuickAsJsonHasEveryFigure) {
  const json demo = run_json({"demo", "--quick", "tale", "induction"});
  EXPECT_EQ(demo["seed"], 1);
  const json& tale = demo["tale"];
  EXPECT_EQ(tale["model"]["name"], "tales");
  EXPECT_THAT(tale["text"].get<std::string>(), Not(::testing::IsEmpty()));
  EXPECT_GT(tale["tokens"], 10);
  EXPECT_GT(tale["tok_s"], 0);
  const json& induction = demo["induction"];
  EXPECT_EQ(induction["model"]["name"], "induction");
  EXPECT_EQ(induction["model"]["parameters"], 66496);
  EXPECT_GT(induction["model"]["state_bytes"], 1000);
  EXPECT_EQ(induction["twin"]["name"], "induction-lti");
  EXPECT_NEAR(induction["chance"], 1.0 / 15, 1e-6);
  std::vector<int64_t> lengths;
  for (const json& row : induction["lengths"]) {
    lengths.push_back(row["length"]);
    EXPECT_EQ(row["sequences"], 4);
    EXPECT_EQ(row["model"]["asked"], 4);
    EXPECT_EQ(row["model"]["accuracy"], 1.0);
    EXPECT_GT(row["model"]["us_per_token"], 0);
    EXPECT_GT(row["model"]["resident_bytes"], 1 << 20);
    EXPECT_EQ(row["twin"]["asked"], 4);
    EXPECT_GT(row["twin"]["us_per_token"], 0);
    EXPECT_EQ(row["transformer"]["kv_bytes"], 1024 * lengths.back());
    EXPECT_EQ(row["transformer"]["attention_flops"], 512 * lengths.back());
  }
  EXPECT_EQ(lengths, (std::vector<int64_t>{256, 1024, 4096}));
}

// Everything but times and memory.
json without_measurements(json demo) {
  if (demo.contains("tale")) demo["tale"].erase("tok_s");
  for (const char* task : {"induction", "copying"}) {
    if (!demo.contains(task)) continue;
    for (json& row : demo[task]["lengths"])
      for (const char* model : {"model", "twin"})
        if (row[model].is_object()) {
          row[model].erase("us_per_token");
          row[model].erase("resident_bytes");
        }
  }
  return demo;
}

TEST(Demo, TheSeedMakesTheShow) {
  const auto show = [](const std::string& seed) {
    return without_measurements(
        run_json({"demo", "--quick", "--max-length", "512", "tale", "induction", "-s", seed}));
  };
  const json first = show("5");
  EXPECT_EQ(show("5"), first);
  EXPECT_NE(show("6")["tale"]["text"], first["tale"]["text"]);
}

TEST(Demo, LengthsAndCountsAreThoseAskedFor) {
  const json demo = run_json({"demo", "induction", "--max-length", "1100", "--sequences", "21"});
  EXPECT_FALSE(demo.contains("tale"));
  std::vector<int64_t> lengths;
  for (const json& row : demo["induction"]["lengths"]) {
    lengths.push_back(row["length"]);
    EXPECT_EQ(row["sequences"], 21);
  }
  EXPECT_EQ(lengths, (std::vector<int64_t>{256, 1024}));
  const json shortest = run_json({"demo", "induction", "--max-length", "100", "--sequences", "1"});
  EXPECT_EQ(shortest["induction"]["lengths"][0]["length"], 100);
}

size_t columns_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

TEST(Demo, TheReportFitsEightyColumnsAndIsAllThatIsWritten) {
  const Result result = run({"demo", "--quick", "--max-length", "1024"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, AllOf(HasSubstr("── tale ─"), HasSubstr("Once upon a time"),
                                HasSubstr("── induction ─"), HasSubstr("100.0 %"),
                                HasSubstr("\n    1,024 "), Not(HasSubstr("\x1b"))));
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(columns_of(line), 80u) << line;
}

// The bundled model with a template that makes it converse; whether it remembers is another matter.
TEST(Demo, FactsAreToldAndAskedForWhereTheModelCanConverse) {
  const test::TempFolder folder;
  const std::filesystem::path tales = KRAIT_TEST_SOURCE_DIR "/models/bundled/tales";
  for (const auto& file : std::filesystem::directory_iterator(tales))
    std::filesystem::create_symlink(file.path(), folder.path(file.path().filename().string()));
  folder.write("chat_template.jinja",
               "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}");
  const json demo = run_json({"demo", "recall", "--quick", "-m", folder.path()});
  EXPECT_GT(demo["recall"]["distraction_tokens"], 20);
  const json& facts = demo["recall"]["facts"];
  ASSERT_EQ(facts.size(), 3u);
  for (const json& fact : facts) {
    EXPECT_THAT(fact["told"].get<std::string>(), HasSubstr(fact["expected"].get<std::string>()));
    const bool said = fact["answer"].get<std::string>().find(fact["expected"]) != std::string::npos;
    EXPECT_EQ(fact["right"], said);
  }
  const Result mute = run({"demo", "recall", "-m", "induction"});
  EXPECT_EQ(mute.exit_code, 2);
  EXPECT_THAT(mute.err, StartsWith("error: induction has no chat template"));
}

TEST(Demo, MistakesAreNamed) {
  const Result unknown = run({"demo", "tales"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, StartsWith("error: DEMO \"tales\": expected tale, recall, induction"));
  const Result shorter = run({"demo", "--max-length", "63"});
  EXPECT_EQ(shorter.exit_code, 2);
  EXPECT_THAT(shorter.err, StartsWith("error: --max-length 63: expected a whole number from 64"));
}

}  // namespace
}  // namespace krait
