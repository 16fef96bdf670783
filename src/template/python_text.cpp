#include "src/template/python_text.h"

#include <charconv>
#include <cmath>

#include "src/base/utf8.h"
#include "src/template/characters.h"
#include "src/template/run.h"

namespace krait::jinja {
namespace {

void append_hex(char32_t code, int digits, std::string& out) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
    out += "0123456789abcdef"[code >> shift & 0xF];
}

void append_quoted(std::string_view text, std::string& out) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out += quote;
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t code = code_at(text, at, length);
    if (code == static_cast<unsigned char>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (is_printable(code)) {
      out += text.substr(at, length);
    } else {
      out += code < 0x100 ? "\\x" : code < 0x10000 ? "\\u" : "\\U";
      append_hex(code, code < 0x100 ? 2 : code < 0x10000 ? 4 : 8, out);
    }
  }
  out += quote;
}

void append_repr(Run& run, const Value& value, std::string& out);

void append_list(Run& run, const List& list, std::string& out) {
  out += list.is_tuple ? '(' : '[';
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(run, list.items[i], out);
  }
  if (list.is_tuple && list.items.size() == 1) out += ',';
  out += list.is_tuple ? ')' : ']';
}

void append_dict(Run& run, const Dict& dict, std::string& out) {
  out += '{';
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(run, dict.items[i].first, out);
    out += ": ";
    append_repr(run, dict.items[i].second, out);
  }
  out += '}';
}

// Shared parts of a value are printed each time they occur, so the text can be far larger than the
// value: it is charged as it grows.
void append_repr(Run& run, const Value& value, std::string& out) {
  run.step();
  const size_t before = out.size();
  if (value.string()) {
    run.scan(value.string()->size());
    append_quoted(*value.string(), out);
  } else if (value.list()) {
    return append_list(run, *value.list(), out);
  } else if (value.dict()) {
    return append_dict(run, *value.dict(), out);
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else {
    out += text_of(run, value);
  }
  run.charge(out.size() - before);
}

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string text(buffer, scientific.ptr);
  const size_t mark = text.find('e');
  const int exponent = std::stoi(text.substr(mark + 1));
  if (exponent < -4 || exponent >= 16) return text;
  char fixed[64];
  const auto end = std::to_chars(fixed, fixed + sizeof fixed, value, std::chars_format::fixed);
  text.assign(fixed, end.ptr);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

std::string text_of(Run& run, const Value& value) {
  if (value.string()) return *value.string();
  if (value.is_undefined()) return "";
  if (value.is_none()) return "None";
  if (value.is_boolean()) return value.truth() ? "True" : "False";
  if (value.is_integral()) return std::to_string(value.to_integer());
  if (value.is_real()) return float_text(value.to_real());
  if (value.function()) return "<function " + value.function()->name + ">";
  if (value.object()) return "<" + std::string(value.type_name()) + ">";
  return repr_of(run, value);
}

std::string repr_of(Run& run, const Value& value) {
  std::string out;
  append_repr(run, value, out);
  return out;
}

}  // namespace krait::jinja
