// What one line of a batch's input asks for. Three kinds of lines:
//   {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {…}}   OpenAI's batches
//   {"prompt": "Once upon"}  or  {"messages": [{"role": "user", "content": "Hello"}]}   the body
//   only Once upon                                                                     plain text
// Members of the body are those of OpenAI's completions and chat completions, and the sampling
// options of this program under their names in Hugging Face and llama.cpp servers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/engine.h"

namespace krait {

struct BatchRequest {
  std::string custom_id;  // empty: the line has none
  bool chat = false;
  std::string prompt;               // completions, unless `prompt_ids` are given
  std::vector<int32_t> prompt_ids;  // completions
  nlohmann::ordered_json messages;  // chat: an array of objects, each with a "role"
  nlohmann::ordered_json tools;     // chat: an array, or null
  GenerateOptions options;
  bool has_seed = false;        // options.seed is the line's own
  bool wants_logprobs = false;  // options.logprobs may be set for best_of alone
  int32_t n = 1;                // texts returned
  int32_t best_of = 1;          // texts written, of which the n likeliest are returned; at least n
  int32_t logprobs =
      -1;             // likeliest tokens listed beside each chosen one; -1: no log-probabilities
  bool echo = false;  // completions: the text begins with the prompt
};

// `defaults` stand where the line says nothing. Throws InputError whose message names the member,
// what was found and what was expected.
BatchRequest parse_json_request(std::string_view line, const GenerateOptions& defaults);

// The custom_id of a line that parse_json_request refused, as far as it can be told.
std::string custom_id_of(std::string_view line);

}  // namespace krait
