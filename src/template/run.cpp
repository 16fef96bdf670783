#include "src/template/run.h"

#include "krait/error.h"
#include "src/template/objects.h"
#include "src/template/scope.h"

namespace krait::jinja {
namespace {

constexpr size_t kValueOverhead = 64;  // bytes of a value's bookkeeping, roughly
constexpr size_t kMemberBytes = 160;   // of a dict's member: two values and a node of the index

}  // namespace

Run::~Run() {
  for (const auto& made : namespaces_) made->clear();
  for (const auto& scope : scopes_) scope->variables.clear();
}

void Run::fail(const std::string& message) const {
  throw InputError(name_ + ":" + std::to_string(line) + ": " + message);
}

void Run::step(size_t count) {
  if (count > limits_.steps - steps_)
    fail("the template takes more than " + std::to_string(limits_.steps) + " steps");
  steps_ += count;
}

void Run::charge(size_t bytes) {
  if (bytes > limits_.value_bytes - value_bytes_)
    fail("the template makes more than " + std::to_string(limits_.value_bytes) +
         " bytes of values");
  value_bytes_ += bytes;
}

void Run::write(std::string_view text, std::string& out) {
  if (text.size() > limits_.output_bytes - output_bytes_)
    fail("the template writes more than " + std::to_string(limits_.output_bytes) + " bytes");
  output_bytes_ += text.size();
  out += text;
}

int Run::checked_depth(int depth) const {
  if (depth > kMaxValueDepth)
    fail("a value nested deeper than " + std::to_string(kMaxValueDepth) + " levels");
  return depth;
}

Value Run::string(std::string text) {
  charge(kValueOverhead + text.size());
  return Value(Value::Data(std::make_shared<const std::string>(std::move(text))));
}

Value Run::list(std::vector<Value> items, bool is_tuple) {
  charge(kValueOverhead + items.size() * sizeof(Value));
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return Value(Value::Data(
      std::make_shared<const List>(List{std::move(items), is_tuple, checked_depth(depth + 1)})));
}

Value Run::dict(std::vector<std::pair<Value, Value>> items) {
  charge(kValueOverhead + items.size() * kMemberBytes);
  Dict made;
  int depth = 0;
  for (auto& [key, value] : items) {
    auto hashed = dict_key(key);
    if (!hashed) fail("a key of type " + std::string(key.type_name()) + ": expected a scalar");
    if (key.string()) charge(key.string()->size());
    depth = std::max(depth, value.depth());
    const auto [place, is_new] = made.index.try_emplace(std::move(*hashed), made.items.size());
    if (is_new)
      made.items.emplace_back(std::move(key), std::move(value));
    else
      made.items[place->second].second = std::move(value);
  }
  made.depth = checked_depth(depth + 1);
  return Value(Value::Data(std::make_shared<const Dict>(std::move(made))));
}

Value Run::function(std::string name, std::function<Value(Run&, const Arguments&)> call,
                    int bound_depth) {
  charge(2 * kValueOverhead);
  return Value(Value::Data(std::make_shared<const Function>(
      Function{std::move(name), std::move(call), checked_depth(bound_depth + 1)})));
}

Value Run::object(std::shared_ptr<Object> object) {
  charge(2 * kValueOverhead);
  checked_depth(object->depth());
  return Value(Value::Data(std::move(object)));
}

Value Run::make_namespace(std::shared_ptr<Namespace> made) {
  namespaces_.push_back(made);
  return object(std::move(made));
}

void Run::keep(const std::shared_ptr<Scope>& scope) {
  for (auto at = scope; at && !at->is_kept; at = at->parent) {
    charge(kValueOverhead);
    at->is_kept = true;
    scopes_.push_back(at);
  }
}

}  // namespace krait::jinja
