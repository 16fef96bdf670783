#include "src/engine/batch_request.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "krait/error.h"
#include "src/base/json.h"

namespace krait {
namespace {

using nlohmann::ordered_json;

constexpr int32_t kMaxCompletions = 128;
constexpr int32_t kMaxLogprobs = 20;
constexpr size_t kMaxShown = 120;

[[noreturn]] void refuse(std::string_view member, const ordered_json& found,
                         const std::string& expected) {
  std::string shown = found.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
  if (shown.size() > kMaxShown) shown = shown.substr(0, kMaxShown) + "…";
  throw InputError(std::string(member) + " is " + shown + "; expected " + expected);
}

int64_t whole(std::string_view member, const ordered_json& value, int64_t least, int64_t most) {
  if (!value.is_number_integer() || value.get<int64_t>() < least || value.get<int64_t>() > most ||
      (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(most)))
    refuse(member, value,
           "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return value.get<int64_t>();
}

float number(std::string_view member, const ordered_json& value) {
  if (!value.is_number()) refuse(member, value, "a number");
  return value.get<float>();
}

bool truth(std::string_view member, const ordered_json& value) {
  if (!value.is_boolean()) refuse(member, value, "true or false");
  return value.get<bool>();
}

void set_prompt(BatchRequest& r, const ordered_json& value) {
  constexpr const char* kExpected = "a text or an array of token ids";
  if (value.is_string()) {
    r.prompt = value.get<std::string>();
    return;
  }
  if (!value.is_array() || value.empty()) refuse("prompt", value, kExpected);
  for (const ordered_json& id : value) {
    if (!id.is_number_integer()) refuse("prompt", value, kExpected);
    r.prompt_ids.push_back(
        static_cast<int32_t>(whole("prompt", id, 0, std::numeric_limits<int32_t>::max())));
  }
}

void set_messages(BatchRequest& r, const ordered_json& value) {
  const auto is_message = [](const ordered_json& m) {
    return m.is_object() && m.contains("role") && m["role"].is_string();
  };
  if (!value.is_array() || value.empty() || !std::all_of(value.begin(), value.end(), is_message))
    refuse("messages", value, "an array of objects, each with a \"role\"");
  r.messages = value;
}

void set_stop(BatchRequest& r, const ordered_json& value) {
  r.options.stop.clear();
  for (const ordered_json& text : value.is_array() ? value : ordered_json::array({value})) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty())
      refuse("stop", value, "a text that is not empty, or an array of such texts");
    r.options.stop.push_back(text.get<std::string>());
  }
}

void set_logit_bias(BatchRequest& r, const ordered_json& value) {
  if (!value.is_object()) refuse("logit_bias", value, "an object of token ids and numbers");
  for (const auto& [key, bias] : value.items()) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0)
      refuse("logit_bias", value, "token ids as keys");
    r.options.sampling.logit_bias.emplace_back(id, number("logit_bias", bias));
  }
}

void set_top(BatchRequest& r, std::string_view member, const ordered_json& value) {
  r.options.logprobs = static_cast<int32_t>(whole(member, value, 0, kMaxLogprobs));
  r.wants_logprobs = true;
}

// In chat "logprobs" is a flag beside the count "top_logprobs", in completions it is the count.
void set_logprobs(BatchRequest& r, const ordered_json& value) {
  if (!r.chat) return set_top(r, "logprobs", value);
  r.wants_logprobs = truth("logprobs", value);
  if (r.wants_logprobs && !r.options.logprobs) r.options.logprobs = 0;
}

void set_response_format(BatchRequest&, const ordered_json& value) {
  if (!value.is_object() || value.value("type", "") != "text")
    refuse("response_format", value, "{\"type\": \"text\"}");
}

template <class T>
using Member = T SamplingOptions::*;
using Setter = std::function<void(BatchRequest&, const ordered_json&)>;

Setter sampling(std::string name, Member<float> member) {
  return
      [=](BatchRequest& r, const ordered_json& v) { r.options.sampling.*member = number(name, v); };
}

Setter sampling(std::string name, Member<int32_t> member) {
  return [=](BatchRequest& r, const ordered_json& v) {
    r.options.sampling.*member =
        static_cast<int32_t>(whole(name, v, -1, std::numeric_limits<int32_t>::max()));
  };
}

Setter max_tokens(std::string name) {
  return [=](BatchRequest& r, const ordered_json& v) {
    r.options.max_tokens = whole(name, v, -1, int64_t{1} << 40);
  };
}

Setter ignored() {
  return [](BatchRequest&, const ordered_json&) {};
}

// Members whose only accepted value is the one that changes nothing.
Setter only(std::string name, ordered_json expected) {
  return [=](BatchRequest&, const ordered_json& v) {
    if (v != expected) refuse(name, v, expected.dump());
  };
}

const std::map<std::string_view, Setter>& setters() {
  using S = SamplingOptions;
  static const std::map<std::string_view, Setter> kSetters = {
      {"prompt", set_prompt},
      {"messages", set_messages},
      {"tools", [](BatchRequest& r, const ordered_json& v) { r.tools = v; }},
      {"max_tokens", max_tokens("max_tokens")},
      {"max_completion_tokens", max_tokens("max_completion_tokens")},
      {"temperature", sampling("temperature", &S::temperature)},
      {"top_k", sampling("top_k", &S::top_k)},
      {"top_p", sampling("top_p", &S::top_p)},
      {"min_p", sampling("min_p", &S::min_p)},
      {"typical_p", sampling("typical_p", &S::typical_p)},
      {"repetition_penalty", sampling("repetition_penalty", &S::repeat_penalty)},
      {"repeat_penalty", sampling("repeat_penalty", &S::repeat_penalty)},
      {"repeat_last_n", sampling("repeat_last_n", &S::penalty_last_n)},
      {"presence_penalty", sampling("presence_penalty", &S::presence_penalty)},
      {"frequency_penalty", sampling("frequency_penalty", &S::frequency_penalty)},
      {"logit_bias", set_logit_bias},
      {"stop", set_stop},
      {"seed",
       [](BatchRequest& r, const ordered_json& v) {
         r.options.seed =
             static_cast<uint64_t>(whole("seed", v, 0, std::numeric_limits<int64_t>::max()));
         r.has_seed = true;
       }},
      {"ignore_eos", [](BatchRequest& r,
                        const ordered_json& v) { r.options.ignore_eos = truth("ignore_eos", v); }},
      {"n",
       [](BatchRequest& r, const ordered_json& v) {
         r.n = static_cast<int32_t>(whole("n", v, 1, kMaxCompletions));
       }},
      {"best_of",
       [](BatchRequest& r, const ordered_json& v) {
         r.best_of = static_cast<int32_t>(whole("best_of", v, 1, kMaxCompletions));
       }},
      {"logprobs", set_logprobs},
      {"top_logprobs",
       [](BatchRequest& r, const ordered_json& v) { set_top(r, "top_logprobs", v); }},
      {"echo", [](BatchRequest& r, const ordered_json& v) { r.echo = truth("echo", v); }},
      {"stream", only("stream", false)},
      {"suffix", only("suffix", nullptr)},
      {"response_format", set_response_format},
      // Say nothing about the text.
      {"model", ignored()},
      {"user", ignored()},
      {"metadata", ignored()},
      {"store", ignored()},
      {"service_tier", ignored()},
  };
  return kSetters;
}

// The member "custom_id" of the outermost object; without building a tree, which of a hostile line
// may be very large.
class CustomId final : public JsonEvents {
 public:
  void scalar(nlohmann::json&& value) override {
    if (depth_ == 1 && is_next_ && value.is_string()) found = value.get<std::string>();
  }
  void key(std::string&& name) override { is_next_ = depth_ == 1 && name == "custom_id"; }
  void begin_object() override { ++depth_; }
  void end_object() override { --depth_; }
  void begin_array() override { depth_ += kInArray; }
  void end_array() override { depth_ -= kInArray; }

  std::string found;

 private:
  static constexpr int kInArray = 1000;  // no depth of objects alone
  int depth_ = 0;
  bool is_next_ = false;
};

bool is_chat_url(const ordered_json& url) {
  if (url == "/v1/chat/completions") return true;
  if (url == "/v1/completions") return false;
  refuse("url", url, "\"/v1/completions\" or \"/v1/chat/completions\"");
}

// The whole line is the body, or a request that holds one.
const ordered_json& body_of(const ordered_json& line, BatchRequest& r) {
  if (!line.is_object()) refuse("the line", line, "an object");
  if (const auto id = line.find("custom_id"); id != line.end()) {
    if (!id->is_string()) refuse("custom_id", *id, "a text");
    r.custom_id = id->get<std::string>();
  }
  if (!line.contains("body") && !line.contains("url")) {
    r.chat = line.contains("messages");
    return line;
  }
  for (const auto& [name, value] : line.items())
    if (name != "custom_id" && name != "method" && name != "url" && name != "body")
      throw InputError("there is no member " + quote(name) +
                       "; expected custom_id, method, url and body");
  if (line.value("method", ordered_json("POST")) != "POST")
    refuse("method", line["method"], "\"POST\"");
  r.chat = is_chat_url(line.value("url", ordered_json()));
  const auto body = line.find("body");
  if (body == line.end() || !body->is_object())
    refuse("body", line.value("body", ordered_json()), "an object");
  return *body;
}

}  // namespace

BatchRequest parse_json_request(std::string_view line, const GenerateOptions& defaults) {
  const ordered_json document = parse_ordered_json(line, "the line");
  BatchRequest r;
  r.options = defaults;
  const ordered_json& body = body_of(document, r);
  for (const auto& [name, value] : body.items()) {
    if (&body == &document && name == "custom_id") continue;
    const auto setter = setters().find(name);
    if (setter == setters().end()) throw InputError("there is no parameter " + quote(name));
    if (!value.is_null()) setter->second(r, value);
  }
  if (r.chat ? r.messages.empty() : !body.contains("prompt"))
    throw InputError(r.chat ? "messages is missing" : "prompt is missing");
  r.best_of = std::max(r.best_of, r.n);
  if (r.best_of > r.n && !r.options.logprobs) r.options.logprobs = 0;  // to choose by
  validate(r.options.sampling);
  return r;
}

std::string custom_id_of(std::string_view line) {
  CustomId id;
  try {
    parse_json_events(line, "", id);
  } catch (const InputError&) {  // what came before the mistake is known
  }
  return std::move(id.found);
}

}  // namespace krait
