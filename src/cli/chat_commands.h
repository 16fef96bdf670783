// What can be typed in a chat besides messages.
#pragma once

#include <string>
#include <string_view>

#include "src/cli/chat.h"
#include "src/cli/line_editor.h"

namespace krait::cli {

// "/undo 2" and the like. "//usr" is none: it is the message "/usr".
bool is_command(std::string_view line);

// Throws InputError for a command that does not exist or cannot be done; nothing has changed then.
void run_command(Chat& chat, std::string_view line);

// The message that a line which is no command stands for.
std::string_view message_of(std::string_view line);

// What Tab offers: commands, and for their arguments settings, branches and files.
Candidates complete_command(Chat& chat, std::string_view before_cursor);

}  // namespace krait::cli
