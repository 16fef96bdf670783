// Tokenizers and cases from files, for the tests of the tokenizer layer.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/tokenizer.h"
#include "src/base/json.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_data.h"

namespace krait::test {

inline std::string golden_file(const std::string& name) {
  return KRAIT_TEST_GOLDEN "/tokenizer/" + name;
}

// Small tokenizers that are committed with their golden cases, as JSON documents: a byte-level one;
// one whose merges cross what pre-tokenizers cut; one in the style of Llama.
inline nlohmann::json golden_document(const std::string& kind) {
  return read_json_file(golden_file(kind + "/tokenizer.json"));
}
inline nlohmann::json small_document() { return golden_document("small"); }
inline nlohmann::json wide_document() { return golden_document("wide"); }
inline nlohmann::json metaspace_document() { return golden_document("metaspace"); }

inline std::unique_ptr<Tokenizer> load_document(const nlohmann::json& document) {
  const TempFolder folder;
  return load_tokenizer_json(folder.write("tokenizer.json", document.dump()));
}

// The GPT-NeoX tokenizer, where the large data is there.
inline std::optional<std::string> gpt_neox_file() {
  return test_data_file(KRAIT_TEST_SOURCE_DIR, "tokenizers/gpt-neox-20b/tokenizer.json");
}

// Holds the tokenizer to cases of make_tokenizer_golden.py: [text, ids] or [text, ids, decoded].
// Reports at most three failures. Returns the number of cases.
inline size_t expect_cases(const Tokenizer& tokenizer, const nlohmann::json& cases,
                           const EncodeOptions& options = {}) {
  int failures = 0;
  for (const nlohmann::json& item : cases) {
    const auto text = item.at(0).get<std::string>();
    const auto ids = item.at(1).get<std::vector<int32_t>>();
    const auto decoded = item.size() > 2 ? item.at(2).get<std::string>() : text;
    const std::vector<int32_t> encoded = tokenizer.encode(text, options);
    const std::string back = decode(tokenizer, ids, true);
    if (encoded == ids && back == decoded) continue;
    EXPECT_EQ(encoded, ids) << "text: " << item.at(0).dump(-1, ' ', true);
    EXPECT_EQ(back, decoded) << "text: " << item.at(0).dump(-1, ' ', true);
    if (++failures == 3) break;
  }
  return cases.size();
}

// Holds the tokenizer to a vocabulary test of llama.cpp: texts with a separator line between, and
// their ids, one line each. Returns the number of cases.
inline int expect_llama_cpp_cases(const Tokenizer& tokenizer, const std::filesystem::path& texts,
                                  const std::filesystem::path& ids) {
  std::stringstream input;
  input << std::ifstream(texts, std::ios::binary).rdbuf();
  const std::string text = input.str();
  std::ifstream output(ids);
  const std::string separator = "\n__ggml_vocab_test__\n";
  int cases = 0;
  std::string line;
  for (size_t at = 0; at < text.size() && std::getline(output, line); ++cases) {
    const size_t end = std::min(text.find(separator, at), text.size());
    std::istringstream numbers(line);
    const std::vector<int32_t> expected(std::istream_iterator<int32_t>(numbers), {});
    EXPECT_EQ(tokenizer.encode(text.substr(at, end - at)), expected) << "case " << cases;
    at = end + separator.size();
  }
  return cases;
}

}  // namespace krait::test
