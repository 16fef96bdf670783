#include "krait/chat_format.h"

#include <algorithm>
#include <array>
#include <ctime>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/base/file.h"
#include "src/base/utf8.h"

namespace krait {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxFileBytes = 4 << 20;

// Stands inside a message where no token may span, until the text is rendered: a code point that
// Unicode keeps for such uses inside programs and that is no character.
constexpr std::string_view kCut = "\xEF\xB7\x90";  // U+FDD0

struct BuiltIn {
  const char* name;
  const char* source;
};

constexpr BuiltIn kBuiltIn[] = {
    {"plain",
     R"({{ bos_token }}{% for message in messages %}
{% if message.role == 'user' %}{{ 'User: ' ~ message.content ~ '\n' }}
{%- elif message.role == 'assistant' %}
{{- 'Assistant:' ~ ('' if as_written or message.content[:1] in ['', ' ', '\n', '\t'] else ' ')
    ~ message.content ~ '\n' }}
{%- else %}{{ message.content ~ '\n\n' }}
{%- endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %})"},
    {"chatml",
     R"({{ bos_token }}{% for message in messages %}
{{- '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})"},
};

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  return parts;
}

// A text that ends an answer: as much of `text` as fits on its first line with more than white
// space.
std::string stop_text(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "";
  text = text.substr(0, text.find('\n', first));
  return std::string(text.substr(0, text.find_last_not_of(" \t\r\n") + 1));
}

}  // namespace

ChatFormat::ChatFormat(const Engine& engine, const std::string& choice)
    : engine_(engine), now_(local_time()) {
  if (engine.tokenizer() == nullptr)
    throw InputError(engine.name() +
                     ": the model has no tokenizer to chat with; give one with "
                     "--tokenizer");
  choose(choice);
  template_.emplace_back(source_, name_);
  find_special();
  find_ends();
}

std::vector<std::string> ChatFormat::built_in() {
  std::vector<std::string> names;
  for (const BuiltIn& entry : kBuiltIn) names.push_back(entry.name);
  return names;
}

void ChatFormat::choose(const std::string& choice) {
  const bool own = choice.empty();
  if (own || !std::ranges::count(built_in(), choice)) {
    const ChatSource& model = engine_.chat_source();
    bos_ = model.bos_token;
    eos_ = model.eos_token;
    if (own && model.text) {
      name_ = model.file;
      source_ = *model.text;
      return;
    }
    if (!own) {
      name_ = choice;
      source_ = read_text_file(choice, kMaxFileBytes);
      return;
    }
  }
  // The built-in ones begin as the tokenizer would begin any text.
  const std::vector<int32_t> start = engine_.tokenizer()->encode("");
  bos_ = start.empty() ? "" : std::string(engine_.tokenizer()->token_text(start.front()));
  name_ = own ? kBuiltIn[0].name : choice;
  for (const BuiltIn& entry : kBuiltIn)
    if (name_ == entry.name) source_ = entry.source;
}

void ChatFormat::find_special() {
  const Tokenizer& tokenizer = *engine_.tokenizer();
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
    if (tokenizer.is_special(id) && !tokenizer.token_text(id).empty())
      special_.emplace_back(tokenizer.token_text(id));
  std::sort(special_.begin(), special_.end());
  if (const int32_t id = eos_.empty() ? -1 : tokenizer.find(eos_); id >= 0) stop_ids_ = {id};
}

// The length of a special token at text[at]; 0: there is none.
size_t ChatFormat::special_at(std::string_view text, size_t at) const {
  const std::string_view rest = text.substr(at);
  size_t longest = 0;
  auto it = std::lower_bound(special_.begin(), special_.end(), rest.substr(0, 1));
  for (; it != special_.end() && it->front() == rest.front(); ++it)
    if (rest.starts_with(*it)) longest = std::max(longest, it->size());
  return longest;
}

std::string ChatFormat::guard(std::string_view text) const {
  std::array<bool, 256> begins{};
  for (const std::string& token : special_) begins[static_cast<unsigned char>(token[0])] = true;
  begins[static_cast<unsigned char>(kCut[0])] = true;
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::max<size_t>(1, utf8_unit(text, at).length);
    if (!begins[static_cast<unsigned char>(text[at])]) {
      out.append(text, at, length);
    } else if (text.substr(at).starts_with(kCut)) {
      out += kReplacementCharacter;
    } else {
      out.append(text, at, length);
      if (special_at(text, at) > 0) out += kCut;  // behind its first character
    }
    at += length;
  }
  return out;
}

void ChatFormat::guard(ordered_json& value) const {
  if (value.is_string()) value = guard(value.get_ref<const std::string&>());
  if (value.is_structured())
    for (ordered_json& element : value) guard(element);
}

ChatText ChatFormat::render(ordered_json& messages, const ordered_json& tools,
                            const RenderOptions& options) const {
  ordered_json variables = {{"messages", nullptr},
                            {"add_generation_prompt", options.add_generation_prompt},
                            {"as_written", options.as_written},
                            {"bos_token", bos_},
                            {"eos_token", eos_}};
  if (!tools.is_null()) variables["tools"] = tools;
  struct Lent {
    ordered_json& variables;
    ordered_json& messages;
    Lent(ordered_json& v, ordered_json& m) : variables(v), messages(m) { swap(); }
    ~Lent() { swap(); }
    void swap() { std::swap(variables["messages"], messages); }
  } const lent(variables, messages);
  const std::string marked = template_.front().render(variables, now_);
  ChatText out;
  out.text.reserve(marked.size());
  for (size_t at = 0; at <= marked.size();) {
    const size_t cut = std::min(marked.find(kCut, at), marked.size());
    out.text.append(marked, at, cut - at);
    if (cut == marked.size()) break;
    out.cuts.push_back(out.text.size());
    at = cut + kCut.size();
  }
  return out;
}

std::vector<int32_t> ChatFormat::encode(const ChatText& text, size_t from, bool continues) const {
  std::vector<int32_t> ids;
  const auto add = [&](size_t end) {
    if (end <= from) return;
    const std::vector<int32_t> more =
        engine_.tokenizer()->encode(std::string_view(text.text).substr(from, end - from),
                                    {.add_special_tokens = false, .continues = continues});
    ids.insert(ids.end(), more.begin(), more.end());
    from = end;
    continues = true;
  };
  for (const size_t cut : text.cuts) add(cut);
  add(text.text.size());
  return ids;
}

// Shows the template a conversation whose messages can be found again, and looks at what it puts
// between them. A template that refuses it, as some do that want a system message, names no ends.
void ChatFormat::find_ends() {
  constexpr const char *kFirst = "Zfirstq", *kAnswer = "Zanswerq", *kNext = "Znextq";
  const ordered_json first = {{"role", "user"}, {"content", kFirst}};
  const ordered_json answer = {{"role", "assistant"}, {"content", kAnswer}};
  const ordered_json next = {{"role", "user"}, {"content", kNext}};
  try {
    add_end(render({first, answer, next}, nullptr, {.add_generation_prompt = false}), kAnswer,
            kNext);
    ChatText asked = render(ordered_json::array({first}), nullptr, {});
    asked.text += kNext;
    add_end(asked, kFirst, kNext);
  } catch (const InputError&) {
  }
}

void ChatFormat::add_end(const ChatText& shown, std::string_view before, std::string_view after) {
  const size_t begin = shown.text.find(before);
  if (begin == std::string::npos) return;
  const size_t end = shown.text.find(after, begin);
  if (end == std::string::npos) return;
  const size_t from = begin + before.size();
  const std::vector<int32_t> ids = encode({shown.text.substr(0, end), {}}, from, true);
  const auto special = std::find_if(
      ids.begin(), ids.end(), [this](int32_t id) { return engine_.tokenizer()->is_special(id); });
  if (special != ids.end()) {
    if (!std::ranges::count(stop_ids_, *special)) stop_ids_.push_back(*special);
  } else if (const std::string text = stop_text(shown.text.substr(from, end - from));
             !text.empty() && !std::ranges::count(stop_, text)) {
    stop_.push_back(text);
  }
}

std::vector<int32_t> chat_prompt(const ChatFormat& format, ordered_json messages,
                                 ordered_json tools) {
  format.guard(messages);
  format.guard(tools);
  return format.encode(format.render(messages, tools, {.as_written = false}), 0, false);
}

void add_ends(const ChatFormat& format, GenerateOptions& options) {
  options.stop.insert(options.stop.end(), format.stop().begin(), format.stop().end());
  if (!options.ignore_eos) options.stop_ids = format.stop_ids();
}

}  // namespace krait
