#include <algorithm>

#include "src/template/methods.h"
#include "src/template/operators.h"

namespace krait::jinja {
namespace {

Value list_count(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "count", {"value"});
  const auto& items = self.list()->items;
  return Value::integer(std::count_if(
      items.begin(), items.end(), [&](const Value& item) { return equal(run, item, *bound[0]); }));
}

Value list_index(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "index", {"value"});
  const auto& items = self.list()->items;
  for (size_t i = 0; i < items.size(); ++i)
    if (equal(run, items[i], *bound[0])) return Value::integer(static_cast<int64_t>(i));
  run.fail("index: the value is not in the list");
}

Value list_copy(Run& run, const Value& self, const Arguments& arguments) {
  arguments.bind(run, "copy", {});
  return self;
}

Value dict_get(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "get", {"key", "?default"});
  if (!is_hashable(*bound[0]))
    run.fail("get: a key of type " + std::string(bound[0]->type_name()) + "; expected a scalar");
  if (const Value* member = find_member(*self.dict(), *bound[0])) return *member;
  return bound[1] ? *bound[1] : Value();
}

Value dict_items(Run& run, const Value& self, const Arguments& arguments) {
  arguments.bind(run, "items", {});
  return items_of_dict(run, *self.dict());
}

Value dict_keys(Run& run, const Value& self, const Arguments& arguments) {
  arguments.bind(run, "keys", {});
  return run.list(items_of(run, self));
}

Value dict_values(Run& run, const Value& self, const Arguments& arguments) {
  arguments.bind(run, "values", {});
  std::vector<Value> values;
  for (const auto& member : self.dict()->items) values.push_back(member.second);
  return run.list(std::move(values));
}

Value dict_copy(Run& run, const Value& self, const Arguments& arguments) {
  arguments.bind(run, "copy", {});
  return self;
}

constexpr Method kListMethods[] = {
    {"copy", list_copy},
    {"count", list_count},
    {"index", list_index},
};

constexpr Method kDictMethods[] = {
    {"copy", dict_copy}, {"get", dict_get},       {"items", dict_items},
    {"keys", dict_keys}, {"values", dict_values},
};

constexpr std::string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

std::span<const Method> methods_of(const Value& self) {
  if (self.string()) return string_methods();
  if (self.list()) return list_methods();
  if (self.dict()) return dict_methods();
  return {};
}

std::span<const std::string_view> changes_of(const Value& self) {
  if (self.list() && !self.list()->is_tuple) return kListChanges;
  if (self.dict()) return kDictChanges;
  return {};
}

}  // namespace

std::span<const Method> list_methods() { return kListMethods; }
std::span<const Method> dict_methods() { return kDictMethods; }

Value items_of_dict(Run& run, const Dict& dict) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items) items.push_back(run.list({key, value}, true));
  return run.list(std::move(items));
}

std::optional<Value> find_method(Run& run, const Value& self, std::string_view name) {
  for (const Method& method : methods_of(self))
    if (method.name == name)
      return run.function(
          std::string(name),
          [self, call = method.call](Run& at, const Arguments& given) {
            return call(at, self, given);
          },
          self.depth());
  for (const std::string_view change : changes_of(self))
    if (change == name)
      return Value::undefined("a " + std::string(self.type_name()) + " cannot be changed by '" +
                              std::string(name) + "': build a new one");
  return std::nullopt;
}

}  // namespace krait::jinja
