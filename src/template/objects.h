// Values with attributes of their own making: namespaces and the `loop` of a for statement.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/template/value.h"

namespace krait::jinja {

// What `namespace()` makes: attributes that `set` can change from inner scopes. Counts as depth 0,
// since its Run keeps it and nothing looks into it unasked.
class Namespace final : public Object {
 public:
  std::string_view type_name() const noexcept override { return "Namespace"; }
  std::optional<Value> attribute(Run& run, std::string_view name) const override;
  int depth() const noexcept override { return 0; }

  void set(const std::string& name, Value value) { attributes_[name] = std::move(value); }
  void clear() { attributes_.clear(); }

 private:
  std::map<std::string, Value, std::less<>> attributes_;
};

class Loop final : public Object, public std::enable_shared_from_this<Loop> {
 public:
  explicit Loop(std::vector<Value> items);
  std::string_view type_name() const noexcept override { return "LoopContext"; }
  std::optional<Value> attribute(Run& run, std::string_view name) const override;
  int depth() const noexcept override { return depth_; }

  const std::vector<Value>& items() const noexcept { return items_; }
  void advance_to(size_t index) { index_ = index; }

 private:
  std::vector<Value> items_;
  size_t index_ = 0;
  int depth_ = 1;
  // The arguments of the latest `loop.changed` call.
  mutable std::optional<Value> seen_;
};

}  // namespace krait::jinja
