// Chat templates: the text a model was trained to see, made from a list of messages by the Jinja
// program that is published with the model.
#pragma once

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace krait {

// What a template may use up. Templates come from strangers: none can hang the caller, exhaust its
// memory or overflow its stack. (Nesting is limited too: of the source at 100, of values at 200.)
struct TemplateLimits {
  size_t source_bytes = 1 << 20;
  size_t steps = 20'000'000;          // of evaluation, one to render; about 0.1 us each
  size_t value_bytes = 512ull << 20;  // of all values made while rendering, freed ones included
  size_t output_bytes = 64ull << 20;  // text written, that of macros and blocks included
};

// One template, parsed. The language is Jinja as Hugging Face transformers configures it for chat
// templates: trim_blocks and lstrip_blocks, loop controls, the `generation` block, a sandbox in
// which lists and dicts cannot be changed; `tojson` without HTML escapes; the functions range,
// dict, namespace, raise_exception and strftime_now. There is no import, include or inheritance,
// no autoescape, no recursive loop; integers have 64 bits (an overflow is an error); what Python
// makes lazily (range, dict.items(), map, select) is a list.
//
// Immutable after construction and safe to share between threads.
class ChatTemplate {
 public:
  // Throws InputError "NAME:LINE: what is wrong" for a source that cannot be parsed, is not UTF-8
  // or exceeds the limits. `name` is for messages: where the template came from.
  ChatTemplate(std::string_view source, std::string name, const TemplateLimits& limits = {});
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // The text for `variables`, an object: messages, add_generation_prompt, bos_token, tools and so
  // on; what it lacks is undefined in the template. Dicts keep the order of their keys. Invalid
  // UTF-8 in strings turns into U+FFFD. `now` is what strftime_now shows.
  //
  // Throws InputError "NAME:LINE: reason": the message of raise_exception where the template calls
  // it, what Jinja would have refused (a member of something undefined, say), or the limit reached.
  std::string render(const nlohmann::ordered_json& variables, const std::tm& now) const;

 private:
  struct Parsed;
  std::unique_ptr<const Parsed> parsed_;
};

}  // namespace krait
