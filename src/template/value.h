// The values of a template. Containers never change once made, as in the sandbox that templates
// are written for; only namespaces do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace krait::jinja {

class Arguments;
class Run;
class Value;

// What has no value. Prints as nothing, is false, holds nothing; most else is an error, for which
// `why` is the message.
struct Undefined {
  std::shared_ptr<const std::string> why;
};

struct None {};

struct List {
  std::vector<Value> items;
  bool is_tuple;
  int depth;  // containers below each other, this one included
};

// The keys of dicts: as in Python, equal numbers are the same key whatever their type.
using DictKey = std::variant<std::monostate, int64_t, double, std::string>;

// In the order of insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  std::map<DictKey, size_t> index;  // where in items
  int depth = 1;
};

// Something to call: a global function, a method bound to its value, a macro.
struct Function {
  std::string name;
  std::function<Value(Run&, const Arguments&)> call;
  int depth;  // that of what it is bound to, plus one
};

// A value with attributes of its own making.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string_view type_name() const noexcept = 0;
  virtual std::optional<Value> attribute(Run& run, std::string_view name) const = 0;
  virtual int depth() const noexcept = 0;
};

// Copies are cheap: what is large is shared.
class Value {
 public:
  using String = std::shared_ptr<const std::string>;
  using Data = std::variant<Undefined, None, bool, int64_t, double, String,
                            std::shared_ptr<const List>, std::shared_ptr<const Dict>,
                            std::shared_ptr<const Function>, std::shared_ptr<Object>>;

  Value() : data_(None{}) {}
  explicit Value(Data data) : data_(std::move(data)) {}
  static Value boolean(bool value) { return Value(Data(value)); }
  static Value integer(int64_t value) { return Value(Data(value)); }
  static Value real(double value) { return Value(Data(value)); }
  static Value undefined(std::string why);

  bool is_undefined() const noexcept { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const noexcept { return std::holds_alternative<None>(data_); }
  bool is_boolean() const noexcept { return std::holds_alternative<bool>(data_); }
  bool is_real() const noexcept { return std::holds_alternative<double>(data_); }
  // Python's bool is an int.
  bool is_integral() const noexcept {
    return is_boolean() || std::holds_alternative<int64_t>(data_);
  }
  bool is_number() const noexcept { return is_integral() || is_real(); }

  int64_t to_integer() const;  // is_integral()
  double to_real() const;      // is_number()

  // Null when the value is something else.
  const std::string* string() const noexcept {
    return pointer<std::shared_ptr<const std::string>>();
  }
  const List* list() const noexcept { return pointer<std::shared_ptr<const List>>(); }
  const Dict* dict() const noexcept { return pointer<std::shared_ptr<const Dict>>(); }
  const Function* function() const noexcept { return pointer<std::shared_ptr<const Function>>(); }
  Object* object() const noexcept { return pointer<std::shared_ptr<Object>>(); }

  // The message for using an undefined value.
  const std::string& why_undefined() const { return *std::get<Undefined>(data_).why; }

  // As Python names it: "str", "list", "dict", "int", "NoneType".
  std::string_view type_name() const noexcept;

  bool truth() const noexcept;

  // Containers below each other, this one included; 0 for a scalar.
  int depth() const noexcept;

 private:
  template <class Pointer>
  typename Pointer::element_type* pointer() const noexcept {
    const auto* held = std::get_if<Pointer>(&data_);
    return held ? held->get() : nullptr;
  }

  Data data_;
};

// Whether Python can hash it: neither a list nor a dict, nor a tuple that holds one.
bool is_hashable(const Value& value);

// The key for a scalar; nothing for what Python cannot hash (and for tuples, which no template
// uses as keys).
std::optional<DictKey> dict_key(const Value& value);

// The member of that key, or null.
const Value* find_member(const Dict& dict, const Value& key);
const Value* find_member(const Dict& dict, std::string_view key);

}  // namespace krait::jinja
