// What a filter, a test or a function is called with.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/template/value.h"

namespace krait::jinja {

// By parameter, in the order they were declared; null where an optional one was not given. Points
// into the Arguments.
using Bound = std::vector<const Value*>;

class Arguments {
 public:
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  bool empty() const noexcept { return positional.empty() && named.empty(); }

  // The named argument, or null.
  const Value* find(std::string_view name) const;

  // Gives each parameter its argument as Python does. A name that begins with '?' is optional.
  // Throws InputError (through `run`) naming `callee` for too many, missing, unknown or repeated
  // ones.
  Bound bind(Run& run, std::string_view callee,
             std::initializer_list<std::string_view> parameters) const;
};

// A bound argument of a type, or the fallback when it was not given. Throw InputError naming
// `what` for another type.
int64_t integer_or(Run& run, const Value* argument, int64_t fallback, std::string_view what);
bool truth_or(const Value* argument, bool fallback);
const std::string& string_argument(Run& run, const Value& argument, std::string_view what);

}  // namespace krait::jinja
