#include "src/template/objects.h"

#include <algorithm>

#include "src/template/arguments.h"
#include "src/template/operators.h"
#include "src/template/run.h"

namespace krait::jinja {

std::optional<Value> Namespace::attribute(Run&, std::string_view name) const {
  const auto found = attributes_.find(name);
  return found == attributes_.end() ? std::nullopt : std::optional<Value>(found->second);
}

Loop::Loop(std::vector<Value> items) : items_(std::move(items)) {
  for (const Value& item : items_) depth_ = std::max(depth_, item.depth() + 1);
}

std::optional<Value> Loop::attribute(Run& run, std::string_view name) const {
  const auto size = static_cast<int64_t>(items_.size());
  const auto index = static_cast<int64_t>(index_);
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "revindex") return Value::integer(size - index);
  if (name == "revindex0") return Value::integer(size - index - 1);
  if (name == "length") return Value::integer(size);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == size);
  if (name == "depth") return Value::integer(1);  // grows in recursive loops only
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem")
    return index == 0 ? Value::undefined("there is no previous item") : items_[index_ - 1];
  if (name == "nextitem")
    return index + 1 == size ? Value::undefined("there is no next item") : items_[index_ + 1];

  const auto self = shared_from_this();
  if (name == "cycle")
    return run.function(
        "loop.cycle",
        [self](Run& at, const Arguments& arguments) {
          if (arguments.positional.empty()) at.fail("loop.cycle takes at least one argument");
          return arguments.positional[self->index_ % arguments.positional.size()];
        },
        depth_);
  if (name == "changed")
    return run.function(
        "loop.changed",
        [self](Run& at, const Arguments& arguments) {
          Value now = at.list(arguments.positional, true);
          const bool is_same = self->seen_ && equal(at, *self->seen_, now);
          if (now.depth() > self->depth_ + 1)
            at.fail("loop.changed takes values of the loop's items");
          self->seen_ = std::move(now);
          return Value::boolean(!is_same);
        },
        depth_);
  return std::nullopt;
}

}  // namespace krait::jinja
