// The user's own editor, for longer texts.
#pragma once

#include <string>

namespace krait::cli {

// Opens $VISUAL, else $EDITOR, else vi, on a text, and returns what was saved. Throws InputError
// when the editor cannot be started or fails.
std::string edit_text(const std::string& start);

}  // namespace krait::cli
