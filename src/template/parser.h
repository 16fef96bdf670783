// Tokens to a tree of statements.
#pragma once

#include <string>
#include <string_view>

#include "src/template/statement.h"

namespace krait::jinja {

// Throws InputError "NAME:LINE: what was found and what was expected".
Body parse(std::string_view source, const std::string& name);

}  // namespace krait::jinja
