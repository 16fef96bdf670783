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
const char* finish_reason(const Completion& completion) {
  return completion.finish_reason == FinishReason::length ? "length" : "stop";
}

std::string token_text(const Engine& engine, int32_t id) {
  return engine.tokenizer() ? engine.tokenizer()->token_bytes(id, true) : std::to_string(id);
}

ordered_json chat_logprobs(const Engine& engine, const Completion& completion) {
  ordered_json content = ordered_json::array();
  for (const TokenLogprobs& token : completion.logprobs) {
    ordered_json top = ordered_json::array();
    for (const TokenLogprobs::Entry& entry : token.top)
      top.push_back({{"token", token_text(engine, entry.id)}, {"logprob", entry.logprob}});
    content.push_back({{"token", token_text(engine, token.id)},
                       {"logprob", token.logprob},
                       {"top_logprobs", std::move(top)}});
  }
  return {{"content", std::move(content)}};
}

ordered_json completion_logprobs(const Engine& engine, const Completion& completion) {
  ordered_json tokens = ordered_json::array(), logprobs = ordered_json::array(),
               tops = ordered_json::array();
  for (const TokenLogprobs& token : completion.logprobs) {
    tokens.push_back(token_text(engine, token.id));
    logprobs.push_back(token.logprob);
    ordered_json top = ordered_json::object();
    for (const TokenLogprobs::Entry& entry : token.top)
      top[token_text(engine, entry.id)] = entry.logprob;
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)}};
}

double mean_logprob(const Completion& completion) {
  double sum = 0;
  for (const TokenLogprobs& token : completion.logprobs) sum += token.logprob;
  return completion.logprobs.empty() ? 0 : sum / static_cast<double>(completion.logprobs.size());
}

// The completions to return: the likeliest per token first where more were written than wanted.
std::vector<const Completion*> chosen(const BatchRequest& request, const JobResult& result) {
  std::vector<const Completion*> all;
  for (const Completion& completion : result.completions) all.push_back(&completion);
  if (request.best_of > request.n)
    std::stable_sort(all.begin(), all.end(), [](const Completion* a, const Completion* b) {
      return mean_logprob(*a) > mean_logprob(*b);
    });
  all.resize(static_cast<size_t>(request.n));
  return all;
}

ordered_json choice(const BatchRequest& request, const Completion& completion, size_t index,
                    const Engine& engine) {
  ordered_json out = {{"index", index}};
  if (request.chat)
    out["message"] = {{"role", "assistant"}, {"content", completion.text}};
  else
    out["text"] = request.echo ? request.prompt + completion.text : completion.text;
  ordered_json logprobs;
  if (request.logprobs >= 0)
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
  for (const Completion* completion : chosen(request, result))
    choices.push_back(choice(request, *completion, choices.size(), engine));
  const int64_t written =
      std::accumulate(result.completions.begin(), result.completions.end(), int64_t{0},
                      [](int64_t sum, const Completion& completion) {
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
