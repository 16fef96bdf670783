#include "src/template/expression.h"

#include <algorithm>

#include "src/template/attributes.h"
#include "src/template/filters.h"
#include "src/template/globals.h"
#include "src/template/is_tests.h"
#include "src/template/python_text.h"

namespace krait::jinja {
namespace {

std::vector<Value> evaluate_all(Frame& frame, const std::vector<ExpressionPtr>& expressions) {
  std::vector<Value> values;
  values.reserve(expressions.size());
  for (const ExpressionPtr& each : expressions) values.push_back(each->evaluate(frame));
  return values;
}

bool holds(Run& run, Comparison::Operation operation, const Value& a, const Value& b) {
  using Operation = Comparison::Operation;
  switch (operation) {
    case Operation::equal: return equal(run, a, b);
    case Operation::not_equal: return !equal(run, a, b);
    case Operation::less: return less(run, a, b);
    case Operation::less_equal: return less_or_equal(run, a, b);
    case Operation::greater: return less(run, b, a);
    case Operation::greater_equal: return less_or_equal(run, b, a);
    case Operation::in: return contains(run, b, a);
    case Operation::not_in: return !contains(run, b, a);
  }
  return false;
}

Value call(Frame& frame, const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) frame.run.fail(callee.why_undefined());
  if (!callee.function())
    frame.run.fail("a value of type " + std::string(callee.type_name()) + " cannot be called");
  return callee.function()->call(frame.run, arguments);
}

}  // namespace

Value Expression::evaluate(Frame& frame) const {
  frame.run.line = line;
  frame.run.step();
  const CallDepth depth(frame.run);
  Value value = compute(frame);
  frame.run.line = line;
  return value;
}

Arguments ArgumentList::evaluate(Frame& frame) const {
  Arguments made;
  made.positional = evaluate_all(frame, positional);
  for (const auto& [name, value] : named) made.named.emplace_back(name, value->evaluate(frame));
  if (more_positional)
    for (Value& item : items_of(frame.run, more_positional->evaluate(frame)))
      made.positional.push_back(std::move(item));
  if (more_named) {
    const Value more = more_named->evaluate(frame);
    if (!more.dict()) frame.run.fail("** needs a dict; found " + std::string(more.type_name()));
    for (const auto& [key, value] : more.dict()->items)
      made.named.emplace_back(string_argument(frame.run, key, "a key after **"), value);
  }
  return made;
}

Value Literal::compute(Frame&) const { return value; }

Value Name::compute(Frame& frame) const {
  if (const Value* found = frame.scope->find(name)) return *found;
  if (auto global = find_global(name)) return *std::move(global);
  return Value::undefined("'" + name + "' is undefined");
}

Value Sequence::compute(Frame& frame) const {
  return frame.run.list(evaluate_all(frame, items), is_tuple);
}

Value DictLiteral::compute(Frame& frame) const {
  std::vector<std::pair<Value, Value>> members;
  for (const auto& [key, value] : items) {
    Value evaluated_key = key->evaluate(frame);
    members.emplace_back(std::move(evaluated_key), value->evaluate(frame));
  }
  return frame.run.dict(std::move(members));
}

Value Unary::compute(Frame& frame) const {
  const Value value = operand->evaluate(frame);
  if (operation == Operation::logical_not) return Value::boolean(!value.truth());
  if (operation == Operation::negative) return negative(frame.run, value);
  return negative(frame.run, negative(frame.run, value));
}

Value Binary::compute(Frame& frame) const {
  const Value a = left->evaluate(frame);
  const Value b = right->evaluate(frame);
  frame.run.line = line;
  return calculate(frame.run, operation, a, b);
}

Value Logical::compute(Frame& frame) const {
  Value value;
  for (const ExpressionPtr& operand : operands) {
    value = operand->evaluate(frame);
    if (value.truth() != is_and) break;
  }
  return value;
}

Value Comparison::compute(Frame& frame) const {
  Value left = first->evaluate(frame);
  for (const auto& [operation, operand] : rest) {
    Value right = operand->evaluate(frame);
    if (!holds(frame.run, operation, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Concatenation::compute(Frame& frame) const {
  std::string text;
  for (const ExpressionPtr& part : parts) {
    const std::string next = text_of(frame.run, part->evaluate(frame));
    frame.run.charge(next.size());
    text += next;
  }
  return frame.run.string(std::move(text));
}

Value Conditional::compute(Frame& frame) const {
  if (condition->evaluate(frame).truth()) return then->evaluate(frame);
  if (otherwise) return otherwise->evaluate(frame);
  return Value::undefined("an inline 'if' without 'else' was false, so it has no value");
}

Value Attribute::compute(Frame& frame) const {
  return attribute_of(frame.run, value->evaluate(frame), name);
}

Value Subscript::compute(Frame& frame) const {
  const Value of = value->evaluate(frame);
  return item_of(frame.run, of, key->evaluate(frame));
}

Value Slice::compute(Frame& frame) const {
  const Value of = value->evaluate(frame);
  const auto bound = [&frame](const ExpressionPtr& given) {
    return given ? given->evaluate(frame) : Value();
  };
  const Value from = bound(start);
  const Value to = bound(stop);
  return slice_of(frame.run, of, from, to, bound(step));
}

Value Call::compute(Frame& frame) const {
  const Value function = callee->evaluate(frame);
  const Arguments given = arguments.evaluate(frame);
  frame.run.line = line;
  return call(frame, function, given);
}

Value Call::compute_with(Frame& frame, std::string name, Value value) const {
  const Value function = callee->evaluate(frame);
  Arguments given = arguments.evaluate(frame);
  given.named.emplace_back(std::move(name), std::move(value));
  frame.run.line = line;
  return call(frame, function, given);
}

Value FilterCall::compute(Frame& frame) const {
  const Value value = input->evaluate(frame);
  const Arguments given = arguments.evaluate(frame);
  frame.run.line = line;
  return apply_filter(frame.run, name, value, given);
}

Value FilterCall::apply_to(Frame& frame, Value text) const {
  const auto* inner = dynamic_cast<const FilterCall*>(input.get());
  const Value value = inner ? inner->apply_to(frame, std::move(text)) : std::move(text);
  return apply_filter(frame.run, name, value, arguments.evaluate(frame));
}

Value TestCall::compute(Frame& frame) const {
  const Value value = input->evaluate(frame);
  const Arguments given = arguments.evaluate(frame);
  frame.run.line = line;
  return Value::boolean(apply_test(frame.run, name, value, given) != is_negated);
}

}  // namespace krait::jinja
