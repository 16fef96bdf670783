// The functions every template can call.
#pragma once

#include <optional>
#include <string_view>

#include "src/template/value.h"

namespace krait::jinja {

std::optional<Value> find_global(std::string_view name);

}  // namespace krait::jinja
