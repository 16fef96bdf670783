#include "src/template/arguments.h"

#include "src/template/run.h"

namespace krait::jinja {

const Value* Arguments::find(std::string_view name) const {
  for (const auto& [given, value] : named)
    if (given == name) return &value;
  return nullptr;
}

Bound Arguments::bind(Run& run, std::string_view callee,
                      std::initializer_list<std::string_view> parameters) const {
  const std::string self(callee);
  if (positional.size() > parameters.size())
    run.fail(self + " takes at most " + std::to_string(parameters.size()) + " arguments; found " +
             std::to_string(positional.size()));
  Bound bound;
  size_t used = 0;
  for (std::string_view name : parameters) {
    const bool is_optional = name.front() == '?';
    if (is_optional) name.remove_prefix(1);
    const Value* by_name = find(name);
    if (by_name != nullptr) ++used;
    if (bound.size() < positional.size()) {
      if (by_name) run.fail(self + ": argument '" + std::string(name) + "' is given twice");
      bound.push_back(&positional[bound.size()]);
      continue;
    }
    if (!by_name && !is_optional)
      run.fail(self + ": argument '" + std::string(name) + "' is missing");
    bound.push_back(by_name);
  }
  if (used == named.size()) return bound;
  for (const auto& [given, value] : named) {
    bool is_known = false;
    for (const std::string_view name : parameters)
      is_known = is_known || name == given || (name.front() == '?' && name.substr(1) == given);
    if (!is_known) run.fail(self + " has no argument '" + given + "'");
  }
  run.fail(self + ": an argument is given twice");
}

int64_t integer_or(Run& run, const Value* argument, int64_t fallback, std::string_view what) {
  if (argument == nullptr) return fallback;
  if (!argument->is_integral())
    run.fail(std::string(what) + " is of type " + std::string(argument->type_name()) +
             "; expected an integer");
  return argument->to_integer();
}

bool truth_or(const Value* argument, bool fallback) {
  return argument == nullptr ? fallback : argument->truth();
}

const std::string& string_argument(Run& run, const Value& argument, std::string_view what) {
  if (argument.is_undefined()) run.fail(argument.why_undefined());
  if (argument.string() == nullptr)
    run.fail(std::string(what) + " is of type " + std::string(argument.type_name()) +
             "; expected a string");
  return *argument.string();
}

}  // namespace krait::jinja
