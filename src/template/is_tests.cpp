#include "src/template/is_tests.h"

#include <algorithm>
#include <iterator>

#include "src/template/characters.h"
#include "src/template/filters.h"
#include "src/template/operators.h"
#include "src/template/python_text.h"

namespace krait::jinja {
namespace {

// A test of the value and, for those that take one, an argument.
using Test = bool(Run& run, const Value& value, const Value& argument);

struct Entry {
  std::string_view name;
  bool takes_argument;
  Test* test;
};

bool has_rest(Run& run, const Value& value, const Value& divisor, int64_t rest) {
  return equal(run, calculate(run, Arithmetic::modulo, value, divisor), Value::integer(rest));
}

bool is_odd(Run& run, const Value& value, const Value&) {
  return has_rest(run, value, Value::integer(2), 1);
}
bool is_even(Run& run, const Value& value, const Value&) {
  return has_rest(run, value, Value::integer(2), 0);
}
bool is_divisible(Run& run, const Value& value, const Value& divisor) {
  return has_rest(run, value, divisor, 0);
}

bool is_defined(Run&, const Value& value, const Value&) { return !value.is_undefined(); }
bool is_undefined(Run&, const Value& value, const Value&) { return value.is_undefined(); }
bool is_none(Run&, const Value& value, const Value&) { return value.is_none(); }
bool is_boolean(Run&, const Value& value, const Value&) { return value.is_boolean(); }
bool is_true(Run&, const Value& value, const Value&) { return value.is_boolean() && value.truth(); }
bool is_false(Run&, const Value& value, const Value&) {
  return value.is_boolean() && !value.truth();
}
bool is_integer(Run&, const Value& value, const Value&) {
  return value.is_integral() && !value.is_boolean();
}
bool is_float(Run&, const Value& value, const Value&) { return value.is_real(); }
bool is_number(Run&, const Value& value, const Value&) { return value.is_number(); }
bool is_string(Run&, const Value& value, const Value&) { return value.string() != nullptr; }
bool is_mapping(Run&, const Value& value, const Value&) { return value.dict() != nullptr; }
bool is_callable(Run&, const Value& value, const Value&) { return value.function() != nullptr; }
bool is_iterable(Run&, const Value& value, const Value&) {
  return value.is_undefined() || value.string() || value.list() || value.dict();
}

template <bool (*test)(std::string_view) noexcept>
bool is_in_case(Run& run, const Value& value, const Value&) {
  const std::string text = text_of(run, value);
  run.scan(text.size());
  return test(text);
}

bool is_filter(Run& run, const Value& value, const Value&) {
  return has_filter(text_of(run, value));
}

bool is_in(Run& run, const Value& value, const Value& container) {
  return contains(run, container, value);
}
bool is_equal(Run& run, const Value& a, const Value& b) { return equal(run, a, b); }
bool is_unequal(Run& run, const Value& a, const Value& b) { return !equal(run, a, b); }
bool is_less(Run& run, const Value& a, const Value& b) { return less(run, a, b); }
bool is_at_most(Run& run, const Value& a, const Value& b) { return less_or_equal(run, a, b); }
bool is_greater(Run& run, const Value& a, const Value& b) { return less(run, b, a); }
bool is_at_least(Run& run, const Value& a, const Value& b) { return less_or_equal(run, b, a); }

// Identity: for what is shared between equal values in Python, too.
bool is_same(Run& run, const Value& a, const Value& b) {
  return a.type_name() == b.type_name() && equal(run, a, b);
}

constexpr Entry kTests[] = {
    {"!=", true, is_unequal},
    {"<", true, is_less},
    {"<=", true, is_at_most},
    {"==", true, is_equal},
    {">", true, is_greater},
    {">=", true, is_at_least},
    {"boolean", false, is_boolean},
    {"callable", false, is_callable},
    {"defined", false, is_defined},
    {"divisibleby", true, is_divisible},
    {"eq", true, is_equal},
    {"equalto", true, is_equal},
    {"even", false, is_even},
    {"false", false, is_false},
    {"filter", false, is_filter},
    {"float", false, is_float},
    {"ge", true, is_at_least},
    {"greaterthan", true, is_greater},
    {"gt", true, is_greater},
    {"in", true, is_in},
    {"integer", false, is_integer},
    {"iterable", false, is_iterable},
    {"le", true, is_at_most},
    {"lessthan", true, is_less},
    {"lower", false, is_in_case<is_lower_text>},
    {"lt", true, is_less},
    {"mapping", false, is_mapping},
    {"ne", true, is_unequal},
    {"none", false, is_none},
    {"number", false, is_number},
    {"odd", false, is_odd},
    {"sameas", true, is_same},
    {"sequence", false, is_iterable},
    {"string", false, is_string},
    {"true", false, is_true},
    {"undefined", false, is_undefined},
    {"upper", false, is_in_case<is_upper_text>},
};

}  // namespace

bool apply_test(Run& run, const std::string& name, const Value& input, const Arguments& arguments) {
  run.step();
  const auto* found = std::find_if(std::begin(kTests), std::end(kTests),
                                   [&name](const Entry& each) { return each.name == name; });
  if (found == std::end(kTests)) run.fail("there is no test '" + name + "'");
  if (found->takes_argument)
    return found->test(run, input, *arguments.bind(run, name, {"value"})[0]);
  arguments.bind(run, name, {});
  return found->test(run, input, Value());
}

}  // namespace krait::jinja
