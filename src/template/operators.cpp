#include "src/template/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/template/characters.h"

namespace krait::jinja {
namespace {

[[noreturn]] void fail_undefined(Run& run, const Value& a, const Value& b) {
  run.fail(a.is_undefined() ? a.why_undefined() : b.why_undefined());
}

[[noreturn]] void fail_types(Run& run, std::string_view sign, const Value& a, const Value& b) {
  if (a.is_undefined() || b.is_undefined()) fail_undefined(run, a, b);
  run.fail("'" + std::string(sign) + "' does not go with " + std::string(a.type_name()) + " and " +
           std::string(b.type_name()));
}

// -1, 0, 1; 2 where a NaN is among them. Exact where an integer has more bits than a double.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    const int64_t x = a.to_integer(), y = b.to_integer();
    return x < y ? -1 : x > y;
  }
  const auto x = a.is_integral() ? static_cast<long double>(a.to_integer()) : a.to_real();
  const auto y = b.is_integral() ? static_cast<long double>(b.to_integer()) : b.to_real();
  if (std::isnan(x) || std::isnan(y)) return 2;
  return x < y ? -1 : x > y;
}

bool equal_dicts(Run& run, const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = find_member(b, key);
    if (other == nullptr || !equal(run, value, *other)) return false;
  }
  return true;
}

template <class Number>
Number floor_modulo(Number a, Number b) {
  Number rest;
  if constexpr (std::is_integral_v<Number>)
    rest = b == -1 ? 0 : a % b;  // the least integer has no counterpart
  else
    rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return rest;
}

int64_t integer_power(Run& run, int64_t base, int64_t exponent) {
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i)
    if (__builtin_mul_overflow(result, base, &result)) run.fail("an integer beyond 64 bits");
  return result;
}

Value calculate_integers(Run& run, Arithmetic operation, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  switch (operation) {
    case Arithmetic::add: overflows = __builtin_add_overflow(a, b, &result); break;
    case Arithmetic::subtract: overflows = __builtin_sub_overflow(a, b, &result); break;
    case Arithmetic::multiply: overflows = __builtin_mul_overflow(a, b, &result); break;
    case Arithmetic::divide: return Value::real(static_cast<double>(a) / static_cast<double>(b));
    case Arithmetic::floor_divide: {
      overflows = b == -1 && a == std::numeric_limits<int64_t>::min();
      if (!overflows) result = a / b - (a % b != 0 && (a < 0) != (b < 0));
      break;
    }
    case Arithmetic::modulo: result = floor_modulo(a, b); break;
    case Arithmetic::power:
      if (b < 0) return Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
      result = integer_power(run, a, b);
      break;
  }
  if (overflows) run.fail("an integer beyond 64 bits");
  return Value::integer(result);
}

// floor(a / b), from the rest so that it is exact.
double floor_quotient(double a, double b) {
  const double quotient = (a - floor_modulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

Value calculate_reals(Run& run, Arithmetic operation, double a, double b) {
  switch (operation) {
    case Arithmetic::add: return Value::real(a + b);
    case Arithmetic::subtract: return Value::real(a - b);
    case Arithmetic::multiply: return Value::real(a * b);
    case Arithmetic::divide: return Value::real(a / b);
    case Arithmetic::floor_divide: return Value::real(floor_quotient(a, b));
    case Arithmetic::modulo: {
      const double rest = floor_modulo(a, b);
      return Value::real(rest == 0 ? std::copysign(0.0, b) : rest);
    }
    case Arithmetic::power: break;
  }
  const double result = std::pow(a, b);
  if (std::isnan(result) && !std::isnan(a) && !std::isnan(b))
    run.fail("a negative number to a broken power");
  if (std::isinf(result) && !std::isinf(a) && !std::isinf(b)) run.fail("a number too large");
  return Value::real(result);
}

Value repeat(Run& run, const Value& sequence, int64_t times) {
  const auto count = times > 0 ? static_cast<size_t>(times) : 0;
  const size_t size =
      sequence.string() ? sequence.string()->size() : sequence.list()->items.size() * sizeof(Value);
  if (count != 0 && size > std::numeric_limits<size_t>::max() / count)
    run.fail("a value too large");
  run.charge(size * count);
  if (sequence.string()) {
    std::string text;
    for (size_t i = 0; i < (sequence.string()->empty() ? 0 : count); ++i)
      text += *sequence.string();
    return run.string(std::move(text));
  }
  std::vector<Value> items;
  const auto& once = sequence.list()->items;
  for (size_t i = 0; i < (once.empty() ? 0 : count); ++i)
    items.insert(items.end(), once.begin(), once.end());
  return run.list(std::move(items), sequence.list()->is_tuple);
}

Value join(Run& run, const Value& a, const Value& b) {
  if (a.string() && b.string()) {
    run.charge(a.string()->size() + b.string()->size());
    return run.string(*a.string() + *b.string());
  }
  run.charge((a.list()->items.size() + b.list()->items.size()) * sizeof(Value));
  std::vector<Value> items = a.list()->items;
  items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
  return run.list(std::move(items), a.list()->is_tuple);
}

bool can_join(const Value& a, const Value& b) {
  if (a.list() && b.list()) return a.list()->is_tuple == b.list()->is_tuple;
  return a.string() && b.string();
}

bool is_sequence(const Value& value) { return value.string() || value.list(); }

}  // namespace

bool equal(Run& run, const Value& a, const Value& b) {
  run.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.string() && b.string()) {
    run.scan(std::min(a.string()->size(), b.string()->size()));
    return *a.string() == *b.string();
  }
  if (a.list() && b.list()) {
    const auto& x = a.list()->items;
    const auto& y = b.list()->items;
    if (a.list()->is_tuple != b.list()->is_tuple || x.size() != y.size()) return false;
    return std::equal(x.begin(), x.end(), y.begin(),
                      [&run](const Value& p, const Value& q) { return equal(run, p, q); });
  }
  if (a.dict() && b.dict()) return equal_dicts(run, *a.dict(), *b.dict());
  if (a.function() || a.object()) return a.function() == b.function() && a.object() == b.object();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(Run& run, const Value& a, const Value& b) {
  run.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == -1;
  if (a.string() && b.string()) {
    run.scan(std::min(a.string()->size(), b.string()->size()));
    return *a.string() < *b.string();  // bytes of UTF-8 are in the order of the characters
  }
  if (!a.list() || !b.list() || a.list()->is_tuple != b.list()->is_tuple)
    fail_types(run, "<", a, b);
  const auto& x = a.list()->items;
  const auto& y = b.list()->items;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (!equal(run, x[i], y[i])) return less(run, x[i], y[i]);
  return x.size() < y.size();
}

bool less_or_equal(Run& run, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) <= 0;
  return !less(run, b, a);
}

bool contains(Run& run, const Value& container, const Value& item) {
  if (container.string()) {
    if (!item.string()) fail_types(run, "in", item, container);
    run.scan(container.string()->size() + item.string()->size());
    return find_text(*container.string(), *item.string()) != std::string::npos;
  }
  if (container.list())
    return std::any_of(container.list()->items.begin(), container.list()->items.end(),
                       [&](const Value& each) { return equal(run, each, item); });
  if (container.dict()) {
    if (!is_hashable(item)) fail_types(run, "in", item, container);
    return find_member(*container.dict(), item) != nullptr;
  }
  if (container.is_undefined()) return false;
  fail_types(run, "in", item, container);
}

Value calculate(Run& run, Arithmetic operation, const Value& a, const Value& b) {
  constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};
  if (a.is_number() && b.is_number()) {
    const bool divides = operation == Arithmetic::divide || operation == Arithmetic::modulo ||
                         operation == Arithmetic::floor_divide;
    if (divides && b.to_real() == 0) run.fail("division by zero");
    if (operation == Arithmetic::power && a.to_real() == 0 && b.to_real() < 0)
      run.fail("zero to a negative power");
    if (a.is_integral() && b.is_integral())
      return calculate_integers(run, operation, a.to_integer(), b.to_integer());
    return calculate_reals(run, operation, a.to_real(), b.to_real());
  }
  if (operation == Arithmetic::add && can_join(a, b)) return join(run, a, b);
  if (operation == Arithmetic::multiply && is_sequence(a) && b.is_integral())
    return repeat(run, a, b.to_integer());
  if (operation == Arithmetic::multiply && a.is_integral() && is_sequence(b))
    return repeat(run, b, a.to_integer());
  fail_types(run, kSigns[static_cast<size_t>(operation)], a, b);
}

Value negative(Run& run, const Value& value) {
  if (value.is_real()) return Value::real(-value.to_real());
  if (value.is_integral())
    return calculate_integers(run, Arithmetic::subtract, 0, value.to_integer());
  if (value.is_undefined()) run.fail(value.why_undefined());
  run.fail("'-' does not go with " + std::string(value.type_name()));
}

std::vector<Value> items_of(Run& run, const Value& value) {
  std::vector<Value> items;
  if (value.list()) {
    run.charge(value.list()->items.size() * sizeof(Value));
    return value.list()->items;
  }
  if (value.string()) {
    run.scan(value.string()->size());
    for (const std::string_view each : characters(*value.string()))
      items.push_back(run.string(std::string(each)));
    return items;
  }
  if (value.dict()) {
    run.charge(value.dict()->items.size() * sizeof(Value));
    for (const auto& member : value.dict()->items) items.push_back(member.first);
    return items;
  }
  if (value.is_undefined()) return items;
  run.fail("a value of type " + std::string(value.type_name()) +
           "; expected a list, a string or a dict to go through");
}

size_t length_of(Run& run, const Value& value) {
  if (value.string()) {
    run.scan(value.string()->size());
    return character_count(*value.string());
  }
  if (value.list()) return value.list()->items.size();
  if (value.dict()) return value.dict()->items.size();
  if (value.is_undefined()) return 0;
  run.fail("a value of type " + std::string(value.type_name()) + " has no length");
}

}  // namespace krait::jinja
