// info, tokenize and bench.
#include <cstdio>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"

namespace krait {
namespace {

using ::testing::HasSubstr;

TEST(Info, JsonTellsArchitectureSizesAndMachine) {
  const auto value = run_json({"info", "-m", test_model(), "-t", "1", "--cpu-isa", "scalar"});
  EXPECT_EQ(value["model"], test_model());
  EXPECT_EQ(value["container"], "safetensors");
  EXPECT_EQ(value["files"].size(), 1u);
  EXPECT_EQ(value["architecture"], "mamba");
  EXPECT_EQ(value["d_model"], 64);
  EXPECT_EQ(value["n_layer"], 2);
  EXPECT_EQ(value["vocab_size"], 320);
  EXPECT_EQ(value["embedding_rows"], 330);
  EXPECT_EQ(value["norm_eps"], 1e-5);
  EXPECT_EQ(value["tied_head"], true);
  EXPECT_EQ(value["layers"].size(), 2u);
  EXPECT_EQ(value["layers"][1], nlohmann::json::parse(R"({"mixer": "mamba1", "d_inner": 128,
      "d_state": 16, "d_conv": 4, "dt_rank": 4})"));
  EXPECT_EQ(value["bytes_by_dtype"]["f32"], value["parameters"].get<int64_t>() * 4);
  EXPECT_EQ(value["state_bytes_per_sequence"], 2 * 128 * (3 + 16) * 4);
  EXPECT_EQ(value["tokenizer"]["kind"], "byte-level BPE");
  EXPECT_EQ(value["eos_ids"], nlohmann::json::parse("[0]"));
  EXPECT_EQ(value["bos_id"], 0);
  EXPECT_EQ(value["machine"]["device"], "cpu");
  EXPECT_EQ(value["machine"]["isa"], "scalar");
  EXPECT_EQ(value["machine"]["threads"], 1);
}

TEST(Info, TextNamesEveryHyperParameter) {
  const Result result = run({"info", "-m", test_model()});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  for (const char* word :
       {"d_model", "n_layer", "d_inner 128", "d_state 16", "d_conv 4", "dt_rank 4", "vocab_size",
        "norm_eps", "parameters", "state", "tokenizer", "<|endoftext|>", "thread", "f32"})
    EXPECT_THAT(result.out, HasSubstr(word));
}

TEST(Info, WorksWithoutTokenizer) {
  const ModelCopy copy;
  std::remove(copy.file("tokenizer.json").c_str());
  EXPECT_TRUE(run_json({"info", "-m", copy.path()})["tokenizer"].is_null());
  EXPECT_EQ(run({"tokenize", "-m", copy.path(), "-p", "a"}).exit_code, 2);
  EXPECT_EQ(run({"generate", "-m", copy.path(), "-p", "a"}).exit_code, 2);
  EXPECT_EQ(run({"generate", "-m", copy.path(), "--ids", "5"}).exit_code, 2);
  const auto ids = run_json({"generate", "-m", copy.path(), "--ids", "5", "-n", "3", "--greedy"});
  EXPECT_EQ(ids["ids"].size() + (ids["finish_reason"] == "eos" ? 3 : 0), 3u);
  EXPECT_EQ(run_json({"score", "-m", copy.path(), "--ids", "5,6"})["tokens"][1]["text"], "");
  EXPECT_EQ(run({"generate", "-m", copy.path(), "-p", "a", "--tokenizer", test_model()}).exit_code,
            0);
}

TEST(Tokenize, JsonGivesIdsAndVocabularyStrings) {
  const auto value = run_json({"tokenize", "-m", test_model(), "-p", "He the"});
  EXPECT_EQ(value["tokens"], nlohmann::json::parse(R"(["H", "e", "Ġthe"])"));
  EXPECT_EQ(value["ids"].size(), 3u);
}

TEST(Tokenize, TableShowsIdsAndText) {
  const Result result = run({"tokenize", "-m", test_model(), "-p", "He the"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("  \"H\"\n"));
  EXPECT_THAT(result.out, HasSubstr("  \" the\"\n"));
  EXPECT_EQ(result.err, "3 tokens, 6 bytes\n");
}

TEST(Tokenize, DecodeTurnsIdsBackIntoText) {
  for (const std::string text : {"Hello, the world", "naïve 😀\ttab", "two\nlines\n"}) {
    std::string ids;
    const auto tokens = run_json({"tokenize", "-m", test_model(), "-p", text});
    for (const auto& id : tokens["ids"]) ids += (ids.empty() ? "" : ",") + id.dump();
    EXPECT_EQ(run({"tokenize", "-m", test_model(), "--decode", ids}).out, text + "\n");
    EXPECT_EQ(run_json({"tokenize", "-m", test_model(), "--decode", ids})["text"], text);
  }
}

TEST(Tokenize, NoSpecialReadsSpecialTokensAsText) {
  const std::vector<std::string> arguments = {"tokenize", "-m", test_model(), "-p",
                                              "<|endoftext|>"};
  EXPECT_EQ(run_json(arguments)["ids"], nlohmann::json::parse("[0]"));
  std::vector<std::string> plain = arguments;
  plain.push_back("--no-special");
  EXPECT_GT(run_json(plain)["ids"].size(), 1u);
  EXPECT_EQ(run({"tokenize", "-m", test_model(), "--decode", "0"}).out, "<|endoftext|>\n");
  EXPECT_EQ(run({"tokenize", "-m", test_model(), "--decode", "0", "--no-special"}).out, "\n");
}

TEST(Bench, JsonHasOneObjectPerTest) {
  const Result result =
      run({"bench", "-m", test_model(), "-p", "8,16", "-n", "4", "-r", "2", "-t", "1", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<nlohmann::json> tests;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) tests.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(tests.size(), 3u);
  EXPECT_EQ(tests[0]["n_prompt"], 8);
  EXPECT_EQ(tests[1]["n_prompt"], 16);
  EXPECT_EQ(tests[2]["n_gen"], 4);
  EXPECT_GT(tests[2]["roof_gb_s"].get<double>(), 0);
  EXPECT_GT(tests[2]["gb_s"].get<double>(), 0);
  EXPECT_NEAR(tests[2]["roof_share"].get<double>(),
              tests[2]["gb_s"].get<double>() / tests[2]["roof_gb_s"].get<double>(), 1e-9);
  for (const auto& test : tests) {
    EXPECT_EQ(test["model"], test_model());
    EXPECT_EQ(test["dtype"], "f32");
    EXPECT_EQ(test["device"], "cpu");
    EXPECT_EQ(test["threads"], 1);
    EXPECT_EQ(test["batch"], 1);
    const auto& speed = test["tok_s"];
    EXPECT_GT(speed["min"].get<double>(), 0);
    EXPECT_LE(speed["min"].get<double>(), speed["median"].get<double>());
    EXPECT_LE(speed["median"].get<double>(), speed["max"].get<double>());
    EXPECT_GT(test["weight_bytes_per_token"].get<int64_t>(), 0);
    EXPECT_GT(test["peak_rss_bytes"].get<int64_t>(), 0);
  }
}

TEST(Bench, TableHasOneRowPerTest) {
  const Result result = run({"bench", "-m", test_model(), "-p", "8", "-n", "4", "-r", "1"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("\nprefill "));
  EXPECT_THAT(result.out, HasSubstr("\ndecode "));
  EXPECT_THAT(result.out, HasSubstr("peak memory"));
}

}  // namespace
}  // namespace krait
