#include <algorithm>
#include <cmath>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"

namespace krait {
namespace {

using ::testing::HasSubstr;

TEST(Score, JsonHasTheDocumentedFields) {
  const auto value = run_json({"score", "-m", test_model(), "-p", "Once upon a time"});
  const auto ids = run_json({"tokenize", "-m", test_model(), "-p", "Once upon a time"})["ids"];
  ASSERT_EQ(value["tokens"].size(), ids.size());
  std::string text;
  double sum = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(value["tokens"][i]["id"], ids[i]);
    text += value["tokens"][i]["text"].get<std::string>();
    sum += value["tokens"][i]["logprob"].get<double>();
  }
  EXPECT_EQ(text, "Once upon a time");
  EXPECT_NEAR(value["nll"].get<double>(), -sum, 1e-9);
  EXPECT_NEAR(value["perplexity"].get<double>(),
              std::exp(-sum / static_cast<double>(ids.size() - 1)), 1e-6);
}

TEST(Score, TableShowsEveryTokenAndTheSummary) {
  const Result result = run({"score", "-m", test_model(), "-p", "The cat"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("logprob  token\n"));
  EXPECT_THAT(result.out, HasSubstr("perplexity"));
  EXPECT_THAT(result.out, HasSubstr("bits per byte"));
}

TEST(Score, LogitsFileHoldsOneRowPerTokenThatGivesTheLogProbabilities) {
  const ModelCopy folder;
  const std::string path = folder.file("logits.npy");
  const auto value = run_json({"score", "-m", test_model(), "--ids", "5,17,3,9", "--logits", path});
  const std::string bytes = read_file(path);
  const size_t header =
      10 + static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  EXPECT_THAT(bytes.substr(0, header), HasSubstr("'shape': (4, 330)"));
  ASSERT_EQ(bytes.size(), header + 4 * 330 * sizeof(float));
  std::vector<float> row(289);  // of token 1; padding rows are no tokens
  std::memcpy(row.data(), bytes.data() + header + 330 * sizeof(float), 289 * sizeof(float));
  double sum = 0;
  for (const float logit : row) sum += std::exp(static_cast<double>(logit));
  EXPECT_NEAR(value["tokens"][2]["logprob"].get<double>(), row[3] - std::log(sum), 1e-6);
}

TEST(Score, LogitsAreTheSameBytesHoweverFedAndWithAnyThreads) {
  const ModelCopy folder;
  std::string ids = "1";
  for (int i = 1; i < 300; ++i) ids += "," + std::to_string(i * 37 % 320);
  std::string first;
  for (const std::vector<std::string>& how : {std::vector<std::string>{"-t", "1"},
                                              {"-t", "2"},
                                              {"-t", "2", "--chunk", "1"},
                                              {"-t", "1", "--chunk", "7"},
                                              {"-t", "2", "--chunk", "64"}}) {
    std::vector<std::string> arguments = {"score", "-m",       test_model(),        "--ids",
                                          ids,     "--logits", folder.file("l.npy")};
    arguments.insert(arguments.end(), how.begin(), how.end());
    run_json(arguments);
    const std::string bytes = read_file(folder.file("l.npy"));
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first);
  }
}

// On the bundled model, which is trained: random ones amplify any rounding.
TEST(Score, RoundedActivationsStayNearAndAreTheSameHoweverFed) {
  const std::string text =
      "Once upon a time there was a king who had three daughters, and the youngest was so "
      "beautiful that the sun itself, which has seen so much, was astonished whenever it shone in "
      "her face.";
  const ModelCopy folder;
  const auto logits = [&](const std::vector<std::string>& how) {
    std::vector<std::string> arguments = {
        "score", "-p", text, "--dtype", "bf16", "--logits", folder.file("l.npy")};
    arguments.insert(arguments.end(), how.begin(), how.end());
    run_json(arguments);
    const std::string bytes = read_file(folder.file("l.npy"));
    const size_t header =
        10 + static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
    std::vector<float> values((bytes.size() - header) / sizeof(float));
    std::memcpy(values.data(), bytes.data() + header, values.size() * sizeof(float));
    return values;
  };
  const std::vector<float> exact = logits({}), rounded = logits({"--act", "bf16"});
  ASSERT_EQ(exact.size(), rounded.size());
  float largest = 0, error = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    largest = std::max(largest, std::fabs(exact[i]));
    error = std::max(error, std::fabs(exact[i] - rounded[i]));
  }
  EXPECT_GT(error, 0);
  EXPECT_LE(error, 5e-3f * largest);
  EXPECT_EQ(exact, logits({"--act", "f32"}));
  EXPECT_EQ(rounded, logits({"--act", "bf16", "--chunk", "1", "-t", "1"}));
  EXPECT_EQ(rounded, logits({"--act", "bf16", "--chunk", "7", "-t", "2"}));
}

TEST(Score, OneTokenHasNothingToScore) {
  const auto value = run_json({"score", "-m", test_model(), "--ids", "5"});
  EXPECT_EQ(value["nll"], 0.0);
  EXPECT_EQ(value["perplexity"], 1.0);
}

TEST(Score, EveryDtypeScores) {
  const double f32 = run_json({"score", "-m", test_model(), "-p", "The old king"})["nll"];
  for (const char* dtype : {"f32", "bf16", "f16", "q8_0", "q6_k", "q4_k", "q4_0"}) {
    const double nll =
        run_json({"score", "-m", test_model(), "-p", "The old king", "--dtype", dtype})["nll"];
    EXPECT_NEAR(nll, f32, 0.05 * std::abs(f32)) << dtype;
  }
}

}  // namespace
}  // namespace krait
