#include "src/cli/message_reader.h"

#include <string_view>

namespace krait::cli {
namespace {

constexpr std::string_view kFence = "\"\"\"";

}  // namespace

Message read_message(const std::function<Input(bool)>& next_line) {
  Input line = next_line(false);
  if (line.kind != Input::Kind::text || !line.text.starts_with(kFence))
    return {line.kind, std::move(line.text), false};
  std::string text = line.text.substr(kFence.size());
  bool is_first = true;
  for (;;) {
    // A fence closes at the end of a line, also of the one that it opens.
    if (text.ends_with(kFence)) {
      text.resize(text.size() - kFence.size());
      break;
    }
    line = next_line(true);
    if (line.kind == Input::Kind::cancelled) return {Input::Kind::cancelled, "", false};
    if (line.kind == Input::Kind::end) break;
    if (!is_first || !text.empty()) text += '\n';
    text += line.text;
    is_first = false;
  }
  if (text.ends_with('\n')) text.pop_back();
  return {Input::Kind::text, std::move(text), true};
}

}  // namespace krait::cli
