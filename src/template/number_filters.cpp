// Filters that give a number, or choose among ordered values.
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "src/template/attributes.h"
#include "src/template/characters.h"
#include "src/template/filters.h"
#include "src/template/operators.h"
#include "src/template/sort_keys.h"

namespace krait::jinja {
namespace {

// A number as Python's int() and float() read it: spaces around it, underscores between digits.
// Nothing where the underscores or the length make it none.
std::optional<std::string> plain_number(std::string_view text) {
  text = strip(text, Ends::both);
  if (text.size() > 400) return std::nullopt;
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto is_alphanumeric = [](char c) {
      return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    };
    if (text[i] != '_')
      out += text[i];
    else if (i == 0 || i + 1 == text.size() || !is_alphanumeric(text[i - 1]) ||
             !is_alphanumeric(text[i + 1]))
      return std::nullopt;
  }
  return out;
}

std::optional<int64_t> parse_integer(Run& run, std::string_view text, int base) {
  const auto number = plain_number(text);
  if (!number || number->empty()) return std::nullopt;
  std::string_view digits = *number;
  const bool is_negative = digits[0] == '-';
  if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
  const char mark = digits.size() > 2 && digits[0] == '0' ? static_cast<char>(digits[1] | 0x20) : 0;
  if ((base == 16 && mark == 'x') || (base == 8 && mark == 'o') || (base == 2 && mark == 'b'))
    digits.remove_prefix(2);
  if (digits.empty() || digits[0] == '-') return std::nullopt;
  const std::string signed_digits = (is_negative ? "-" : "") + std::string(digits);
  int64_t value = 0;
  const char* end = signed_digits.data() + signed_digits.size();
  const auto read = std::from_chars(signed_digits.data(), end, value, base);
  if (read.ptr != end) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) run.fail("int: an integer beyond 64 bits");
  if (read.ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> parse_real(std::string_view text) {
  const auto number = plain_number(text);
  if (!number || number->empty()) return std::nullopt;
  // Python knows no hexadecimal floats and no nan(...).
  const std::string lower = to_lower(*number);
  if (lower.find_first_of("xp(") != std::string::npos) return std::nullopt;
  const bool has_sign = lower[0] == '-' || lower[0] == '+';
  const char* begin = lower.c_str() + (lower[0] == '+');
  if (has_sign && (lower[1] == '-' || lower[1] == '+')) return std::nullopt;
  double value = 0;
  const char* end = lower.data() + lower.size();
  const auto read = std::from_chars(begin, end, value);
  if (read.ptr != end || read.ec == std::errc::invalid_argument) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) value = std::strtod(begin, nullptr);
  return value;
}

std::optional<double> real_of(const Value& value) {
  if (value.is_number()) return value.to_real();
  return value.string() ? parse_real(*value.string()) : std::nullopt;
}

void refuse_undefined(Run& run, const Value& value) {
  if (value.is_undefined()) run.fail(value.why_undefined());
}

double number_argument(Run& run, const Value& value, std::string_view what) {
  refuse_undefined(run, value);
  if (!value.is_number())
    run.fail(std::string(what) + " is of type " + std::string(value.type_name()) +
             "; expected a number");
  return value.to_real();
}

// As Python rounds: to the nearest by the exact value of the number, ties to even.
double rounded(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 322) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits <= 0) {
    const double unit = std::pow(10.0, static_cast<double>(-digits));
    const double quotient = std::nearbyint(value / unit);
    return quotient * unit;
  }
  char text[700];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed,
                                 static_cast<int>(digits));
  double result = 0;
  std::from_chars(text, end.ptr, result);
  return result;
}

Value extreme(Run& run, const Value& input, const Arguments& arguments, std::string_view name,
              bool wants_least) {
  const Bound bound = arguments.bind(run, name, {"?case_sensitive", "?attribute"});
  const std::vector<Value> items = items_of(run, input);
  if (items.empty())
    return Value::undefined("there is no " + std::string(name) + ": the sequence is empty");
  const SortKey key(run, bound[0], bound[1]);
  size_t best = 0;
  Value best_key = key(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value next = key(items[i]);
    if (!(wants_least ? less(run, next, best_key) : less(run, best_key, next))) continue;
    best = i;
    best_key = std::move(next);
  }
  return items[best];
}

}  // namespace

Value abs_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "abs", {});
  const double number = number_argument(run, input, "the input of abs");
  if (input.is_real()) return Value::real(std::abs(number));
  return number < 0 ? negative(run, input) : Value::integer(input.to_integer());
}

Value int_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "int", {"?default", "?base"});
  refuse_undefined(run, input);
  const int64_t base = integer_or(run, bound[1], 10, "int: base");
  if (base < 2 || base > 36)
    run.fail("int: base is " + std::to_string(base) + "; expected 2 to 36");
  if (input.is_integral()) return Value::integer(input.to_integer());
  if (input.string())
    if (const auto number = parse_integer(run, *input.string(), static_cast<int>(base)))
      return Value::integer(*number);
  const auto real = real_of(input);
  if (!real || !std::isfinite(*real)) {
    if (real && input.is_real() && std::isinf(*real)) run.fail("int: the number is infinite");
    return bound[0] ? *bound[0] : Value::integer(0);
  }
  if (std::abs(*real) >= 0x1p63) run.fail("int: an integer beyond 64 bits");
  return Value::integer(static_cast<int64_t>(*real));
}

Value float_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "float", {"?default"});
  refuse_undefined(run, input);
  if (const auto real = real_of(input)) return Value::real(*real);
  return bound[0] ? *bound[0] : Value::real(0);
}

Value round_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "round", {"?precision", "?method"});
  const double number = number_argument(run, input, "the input of round");
  const int64_t digits = integer_or(run, bound[0], 0, "round: precision");
  const std::string method = bound[1] ? string_argument(run, *bound[1], "round: method") : "common";
  if (method == "common") {
    if (input.is_real()) return Value::real(rounded(number, digits));
    if (digits >= 0) return Value::integer(input.to_integer());
    const double result = rounded(number, digits);
    if (std::abs(result) >= 0x1p63) run.fail("round: an integer beyond 64 bits");
    return Value::integer(static_cast<int64_t>(result));
  }
  if (method != "ceil" && method != "floor")
    run.fail("round: method is '" + method + "'; expected common, ceil or floor");
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled = number * unit;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value min_filter(Run& run, const Value& input, const Arguments& arguments) {
  return extreme(run, input, arguments, "min", true);
}
Value max_filter(Run& run, const Value& input, const Arguments& arguments) {
  return extreme(run, input, arguments, "max", false);
}

Value sum_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "sum", {"?attribute", "?start"});
  Value total = bound[1] ? *bound[1] : Value::integer(0);
  if (total.string()) run.fail("sum: strings are joined with join");
  for (const Value& item : items_of(run, input)) {
    const bool has_path = bound[0] && !bound[0]->is_none();
    total = calculate(run, Arithmetic::add, total, has_path ? path_of(run, item, *bound[0]) : item);
  }
  return total;
}

}  // namespace krait::jinja
