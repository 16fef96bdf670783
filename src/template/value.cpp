#include "src/template/value.h"

#include <algorithm>
#include <cmath>

#include "krait/error.h"

namespace krait::jinja {

Value Value::undefined(std::string why) {
  return Value(Data(Undefined{std::make_shared<const std::string>(std::move(why))}));
}

int64_t Value::to_integer() const {
  if (const bool* flag = std::get_if<bool>(&data_)) return *flag ? 1 : 0;
  const int64_t* number = std::get_if<int64_t>(&data_);
  KRAIT_CHECK(number != nullptr);
  return *number;
}

double Value::to_real() const {
  if (const double* number = std::get_if<double>(&data_)) return *number;
  return static_cast<double>(to_integer());
}

std::string_view Value::type_name() const noexcept {
  if (list() && list()->is_tuple) return "tuple";
  if (object()) return object()->type_name();
  constexpr std::string_view kNames[] = {"Undefined", "NoneType", "bool", "int",      "float",
                                         "str",       "list",     "dict", "function", "object"};
  return kNames[data_.index()];
}

bool Value::truth() const noexcept {
  if (is_undefined() || is_none()) return false;
  if (is_boolean()) return std::get<bool>(data_);
  if (is_real()) return std::get<double>(data_) != 0;
  if (const int64_t* number = std::get_if<int64_t>(&data_)) return *number != 0;
  if (string()) return !string()->empty();
  if (list()) return !list()->items.empty();
  if (dict()) return !dict()->items.empty();
  return true;
}

int Value::depth() const noexcept {
  if (list()) return list()->depth;
  if (dict()) return dict()->depth;
  if (function()) return function()->depth;
  if (object()) return object()->depth();
  return 0;
}

bool is_hashable(const Value& value) {
  if (!value.list()) return !value.dict();
  const auto& items = value.list()->items;
  return value.list()->is_tuple && std::all_of(items.begin(), items.end(), is_hashable);
}

std::optional<DictKey> dict_key(const Value& value) {
  // Built in place: GCC 12 sees uninitialised bytes in a variant that is moved.
  std::optional<DictKey> key;
  if (value.string()) {
    key.emplace(*value.string());
  } else if (value.is_integral()) {
    key.emplace(value.to_integer());
  } else if (value.is_none()) {
    key.emplace(std::monostate{});
  } else if (value.is_real()) {
    const double number = value.to_real();
    if (std::isnan(number)) return key;  // equal to nothing, and a map needs an order
    const bool is_whole = std::abs(number) < 9e18 && number == std::trunc(number);
    if (is_whole)
      key.emplace(static_cast<int64_t>(number));
    else
      key.emplace(number);
  }
  return key;
}

const Value* find_member(const Dict& dict, const Value& key) {
  const auto wanted = dict_key(key);
  if (!wanted) return nullptr;
  const auto found = dict.index.find(*wanted);
  return found == dict.index.end() ? nullptr : &dict.items[found->second].second;
}

const Value* find_member(const Dict& dict, std::string_view key) {
  const auto found = dict.index.find(DictKey(std::string(key)));
  return found == dict.index.end() ? nullptr : &dict.items[found->second].second;
}

}  // namespace krait::jinja
