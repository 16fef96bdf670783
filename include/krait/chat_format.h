// How conversations with a model are written down: its chat template, what its special tokens are
// allowed to come from, and where an answer ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "krait/chat_template.h"
#include "krait/engine.h"

namespace krait {

// A conversation as text.
struct ChatText {
  std::string text;
  // Places in it, ascending, that no token may span. They lie inside what reads like a special
  // token and comes from a message.
  std::vector<size_t> cuts;
};

struct RenderOptions {
  bool add_generation_prompt = true;
  // Answers stand as this model wrote them: the built-in templates add no space in front.
  bool as_written = true;
};

// Belongs to an engine, which must outlive it. Immutable after construction and safe to share
// between threads.
class ChatFormat {
 public:
  // `choice` is empty (the model's own template, or "plain" where it has none), the name of a
  // built-in one, or a file. Throws InputError naming file and line of a template that cannot be
  // used, and where the engine has no tokenizer.
  ChatFormat(const Engine& engine, const std::string& choice);

  // "plain", "chatml"
  static std::vector<std::string> built_in();

  // Where the template comes from: a file or the name of a built-in one.
  const std::string& name() const noexcept { return name_; }
  const std::string& source() const noexcept { return source_; }

  // `text` as it may stand in messages that are rendered: encode() finds no special token in it.
  std::string guard(std::string_view text) const;
  // The same for all texts within a value.
  void guard(nlohmann::ordered_json& value) const;

  // The text for guarded messages (lent, not copied: there may be many) and tools, or null. Throws
  // InputError "NAME:LINE: reason". The template's clock stands where it stood when this was made:
  // a conversation is rendered again and again, and its beginning must not change.
  ChatText render(nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                  const RenderOptions& options) const;
  ChatText render(nlohmann::ordered_json&& messages, const nlohmann::ordered_json& tools,
                  const RenderOptions& options) const {
    return render(messages, tools, options);
  }

  // The ids of the text from byte `from` on. `continues`: they go on from an earlier text. Special
  // tokens are those written by the template; none is added.
  std::vector<int32_t> encode(const ChatText& text, size_t from, bool continues) const;

  // What ends an answer besides the model's EOS, as the template shows: the token it puts behind an
  // answer, or, where that is ordinary text, the text.
  const std::vector<int32_t>& stop_ids() const noexcept { return stop_ids_; }
  const std::vector<std::string>& stop() const noexcept { return stop_; }

 private:
  void choose(const std::string& choice);
  void find_special();
  void find_ends();
  void add_end(const ChatText& shown, std::string_view before, std::string_view after);
  size_t special_at(std::string_view text, size_t at) const;

  const Engine& engine_;
  std::string name_, source_;
  std::string bos_, eos_;
  std::vector<ChatTemplate> template_;  // exactly one
  std::tm now_{};
  std::vector<std::string> special_;  // all special tokens as text, sorted
  std::vector<int32_t> stop_ids_;
  std::vector<std::string> stop_;
};

// The prompt's ids for messages and tools as OpenAI's chat completions have them, generation prompt
// included. Throws InputError as render() does.
std::vector<int32_t> chat_prompt(const ChatFormat& format, nlohmann::ordered_json messages,
                                 nlohmann::ordered_json tools);

// Adds the format's ends to those of an answer.
void add_ends(const ChatFormat& format, GenerateOptions& options);

}  // namespace krait
