#include "src/engine/batch_response.h"

#include <algorithm>
#include <numeric>

#include <nlohmann/json.hpp>

namespace krait {
namespace {

using nlohmann::ordered_json;

std::string dump(const ordered_json& line) {
  return line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json custom_id_json(const std::string& custom_id) {
  return custom_id.empty() ? ordered_json() : ordered_json(custom_id);
}

// OpenAI knows two reasons.
const char* finish_reason(const GenerateResult& completion) {
  return completion.finish_reason == FinishReason::length ? "length" : "stop";
}

std::string token_text(const Engine& engine, int32_t id) {
  return engine.tokenizer() ? engine.tokenizer()->token_bytes(id, true) : std::to_string(id);
}

ordered_json chat_logprobs(const Engine& engine, const GenerateResult& completion) {
  ordered_json content = ordered_json::array();
  for (size_t i = 0; i < completion.logprobs.size(); ++i) {
    const TokenLogprobs& token = completion.logprobs[i];
    ordered_json top = ordered_json::array();
    for (const ScoredToken& entry : token.top)
      top.push_back({{"token", token_text(engine, entry.id)}, {"logprob", entry.logprob}});
    content.push_back({{"token", token_text(engine, completion.ids[i])},
                       {"logprob", token.logprob},
                       {"top_logprobs", std::move(top)}});
  }
  return {{"content", std::move(content)}};
}

ordered_json completion_logprobs(const Engine& engine, const GenerateResult& completion) {
  ordered_json tokens = ordered_json::array(), logprobs = ordered_json::array(),
               tops = ordered_json::array();
  for (size_t i = 0; i < completion.logprobs.size(); ++i) {
    const TokenLogprobs& token = completion.logprobs[i];
    tokens.push_back(token_text(engine, completion.ids[i]));
    logprobs.push_back(token.logprob);
    ordered_json top = ordered_json::object();
    for (const ScoredToken& entry : token.top) top[token_text(engine, entry.id)] = entry.logprob;
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)}};
}

// The completions to return: the likeliest per token first where more were written than wanted.
std::vector<const GenerateResult*> chosen(const BatchRequest& request, const JobResult& result) {
  std::vector<const GenerateResult*> all;
  for (const GenerateResult& completion : result.completions) all.push_back(&completion);
  if (request.best_of > request.n)
    std::stable_sort(all.begin(), all.end(), [](const GenerateResult* a, const GenerateResult* b) {
      return a->mean_logprob > b->mean_logprob;
    });
  all.resize(static_cast<size_t>(request.n));
  return all;
}

ordered_json choice(const BatchRequest& request, const GenerateResult& completion, size_t index,
                    const Engine& engine) {
  ordered_json out = {{"index", index}};
  if (request.chat)
    out["message"] = {{"role", "assistant"}, {"content", completion.text}};
  else
    out["text"] = request.echo ? request.prompt + completion.text : completion.text;
  ordered_json logprobs;
  if (request.wants_logprobs)
    logprobs =
        request.chat ? chat_logprobs(engine, completion) : completion_logprobs(engine, completion);
  out["logprobs"] = std::move(logprobs);
  out["finish_reason"] = finish_reason(completion);
  return out;
}

}  // namespace

std::string response_line(const std::string& id, const BatchRequest& request,
                          const JobResult& result, const Engine& engine) {
  ordered_json choices = ordered_json::array();
  for (const GenerateResult* completion : chosen(request, result))
    choices.push_back(choice(request, *completion, choices.size(), engine));
  const int64_t written =
      std::accumulate(result.completions.begin(), result.completions.end(), int64_t{0},
                      [](int64_t sum, const GenerateResult& completion) {
                        return sum + static_cast<int64_t>(completion.ids.size());
                      });
  // No time stamp: the same batch gives the same bytes.
  const ordered_json body = {{"id", id},
                             {"object", request.chat ? "chat.completion" : "text_completion"},
                             {"created", 0},
                             {"model", engine.name()},
                             {"seed", request.options.seed},
                             {"choices", std::move(choices)},
                             {"usage",
                              {{"prompt_tokens", result.prompt_tokens},
                               {"completion_tokens", written},
                               {"total_tokens", result.prompt_tokens + written}}}};
  return dump({{"id", id},
               {"custom_id", custom_id_json(request.custom_id)},
               {"response", {{"status_code", 200}, {"request_id", id}, {"body", body}}},
               {"error", nullptr}});
}

std::string error_line(const std::string& id, const std::string& custom_id, const std::string& code,
                       const std::string& message) {
  return dump({{"id", id},
               {"custom_id", custom_id_json(custom_id)},
               {"response", nullptr},
               {"error", {{"code", code}, {"message", message}}}});
}

}  // namespace krait
