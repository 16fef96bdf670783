#include "src/template/globals.h"

#include <array>

#include "src/template/arguments.h"
#include "src/template/objects.h"
#include "src/template/operators.h"
#include "src/template/python_text.h"
#include "src/template/run.h"
#include "src/template/time_text.h"

namespace krait::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as in Jinja's sandbox

Value range(Run& run, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "range", {"start", "?stop", "?step"});
  int64_t start = integer_or(run, bound[0], 0, "range: an argument");
  int64_t stop = integer_or(run, bound[1], 0, "range: an argument");
  const int64_t step = integer_or(run, bound[2], 1, "range: an argument");
  if (bound[1] == nullptr) {
    stop = start;
    start = 0;
  }
  if (step == 0) run.fail("range: a step of 0");
  // In unsigned arithmetic the differences cannot overflow.
  const bool is_empty = step > 0 ? start >= stop : start <= stop;
  const uint64_t distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                     : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  const uint64_t count = is_empty ? 0 : (distance - 1) / stride + 1;
  if (count > kMaxRange) run.fail("range of more than " + std::to_string(kMaxRange) + " numbers");
  std::vector<Value> items;
  run.charge(count * sizeof(Value));
  for (uint64_t i = 0; i < count; ++i)
    items.push_back(Value::integer(start + static_cast<int64_t>(i) * step));
  return run.list(std::move(items));
}

// The members of an optional dict (or list of pairs), and the named arguments.
std::vector<std::pair<Value, Value>> members(Run& run, const Arguments& arguments,
                                             std::string_view callee) {
  if (arguments.positional.size() > 1)
    run.fail(std::string(callee) + " takes at most one argument without a name");
  std::vector<std::pair<Value, Value>> made;
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (from.dict()) {
      made = from.dict()->items;
    } else {
      for (const Value& item : items_of(run, from)) {
        if (!item.list() || item.list()->items.size() != 2)
          run.fail(std::string(callee) + ": an item is not a pair");
        made.emplace_back(item.list()->items[0], item.list()->items[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) made.emplace_back(run.string(name), value);
  return made;
}

Value dict(Run& run, const Arguments& arguments) {
  return run.dict(members(run, arguments, "dict"));
}

Value make_namespace(Run& run, const Arguments& arguments) {
  auto made = std::make_shared<Namespace>();
  for (const auto& [key, value] : members(run, arguments, "namespace"))
    made->set(string_argument(run, key, "namespace: a name"), value);
  return run.make_namespace(std::move(made));
}

Value raise_exception(Run& run, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "raise_exception", {"message"});
  run.fail(text_of(run, *bound[0]));
}

Value strftime_now(Run& run, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "strftime_now", {"format"});
  return run.string(time_text(run, string_argument(run, *bound[0], "strftime_now: format")));
}

Value global(std::string name, Value (*call)(Run&, const Arguments&)) {
  return Value(Value::Data(std::make_shared<const Function>(Function{std::move(name), call, 1})));
}

}  // namespace

std::optional<Value> find_global(std::string_view name) {
  static const std::array<Value, 5> kGlobals = {
      global("dict", dict),
      global("namespace", make_namespace),
      global("raise_exception", raise_exception),
      global("range", range),
      global("strftime_now", strftime_now),
  };
  for (const Value& each : kGlobals)
    if (each.function()->name == name) return each;
  return std::nullopt;
}

}  // namespace krait::jinja
