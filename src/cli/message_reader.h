// What somebody says to a chat: a line, or a block between lines of """.
#pragma once

#include <functional>
#include <string>

#include "src/cli/line_editor.h"

namespace krait::cli {

struct Message {
  Input::Kind kind = Input::Kind::text;
  std::string text;
  bool is_block = false;  // then it is no command, whatever it begins with
};

// `next_line` gives a line without its newline; its argument: whether it goes on with a block. A
// block that the input ends in is over there.
Message read_message(const std::function<Input(bool in_block)>& next_line);

}  // namespace krait::cli
