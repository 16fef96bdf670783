#include "src/template/json_text.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "src/base/utf8.h"
#include "src/template/characters.h"
#include "src/template/operators.h"
#include "src/template/python_text.h"
#include "src/template/run.h"

namespace krait::jinja {
namespace {

using nlohmann::ordered_json;

Value convert(Run& run, const ordered_json& json, int depth) {
  if (depth > Run::kMaxValueDepth)
    run.fail("the variables are nested deeper than " + std::to_string(Run::kMaxValueDepth) +
             " levels");
  switch (json.type()) {
    case ordered_json::value_t::boolean: return Value::boolean(json.get<bool>());
    case ordered_json::value_t::number_integer: return Value::integer(json.get<int64_t>());
    case ordered_json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        run.fail("the variables hold the integer " + std::to_string(number) +
                 "; expected at most 63 bits");
      return Value::integer(static_cast<int64_t>(number));
    }
    case ordered_json::value_t::number_float: return Value::real(json.get<double>());
    case ordered_json::value_t::string:
      return run.string(repair_utf8(json.get_ref<const std::string&>()));
    case ordered_json::value_t::array: {
      std::vector<Value> items;
      for (const ordered_json& item : json) items.push_back(convert(run, item, depth + 1));
      return run.list(std::move(items));
    }
    case ordered_json::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      for (const auto& [key, value] : json.items())
        items.emplace_back(run.string(repair_utf8(key)), convert(run, value, depth + 1));
      return run.dict(std::move(items));
    }
    default: return Value();
  }
}

void append_escape(char32_t unit, std::string& out) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += "0123456789abcdef"[unit >> shift & 0xF];
}

void append_string(std::string_view text, bool ensure_ascii, std::string& out) {
  constexpr std::string_view kShort = "\"\\\b\f\n\r\t";
  out += '"';
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t code = code_at(text, at, length);
    const size_t found =
        code < 0x80 ? kShort.find(static_cast<char>(code)) : std::string_view::npos;
    if (found != std::string_view::npos) {
      out += '\\';
      out += "\"\\bfnrt"[found];
    } else if (code < 0x20 || (ensure_ascii && code >= 0x7F && code < 0x10000)) {
      append_escape(code, out);
    } else if (ensure_ascii && code >= 0x10000) {
      append_escape(0xD800 + ((code - 0x10000) >> 10), out);
      append_escape(0xDC00 + ((code - 0x10000) & 0x3FF), out);
    } else {
      out += text.substr(at, length);
    }
  }
  out += '"';
}

class Writer {
 public:
  Writer(Run& run, const JsonStyle& style) : run_(run), style_(style) {}

  void write(const Value& value) {
    run_.step();
    const size_t before = out.size();
    if (value.string()) {
      run_.scan(value.string()->size());
      append_string(*value.string(), style_.ensure_ascii, out);
    } else if (value.list()) {
      return write_list(*value.list());
    } else if (value.dict()) {
      return write_dict(*value.dict());
    } else {
      out += scalar(value);
    }
    run_.charge(out.size() - before);
  }

  std::string out;

 private:
  std::string scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (value.is_boolean()) return value.truth() ? "true" : "false";
    if (value.is_integral()) return std::to_string(value.to_integer());
    if (value.is_real()) return real(value.to_real());
    if (value.is_undefined())
      run_.fail("tojson: " + value.why_undefined() + ", which has no form in JSON");
    run_.fail("tojson: a value of type " + std::string(value.type_name()) + " has no form in JSON");
  }

  static std::string real(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_text(value);
  }

  void new_line() {
    if (style_.indent == nullptr) return;
    run_.charge(level_ * style_.indent->size() + 1);
    out += '\n';
    for (size_t i = 0; i < level_; ++i) out += *style_.indent;
  }

  void write_list(const List& list) {
    if (list.items.empty()) {
      out += "[]";
      return;
    }
    out += '[';
    ++level_;
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) separate();
      new_line();
      write(list.items[i]);
    }
    --level_;
    new_line();
    out += ']';
  }

  void write_dict(const Dict& dict) {
    if (dict.items.empty()) {
      out += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> members;
    for (const auto& member : dict.items) members.push_back(&member);
    if (style_.sort_keys)
      stable_sort_values(run_, members, [](const auto* member) { return member->first; });
    out += '{';
    ++level_;
    for (size_t i = 0; i < members.size(); ++i) {
      if (i > 0) separate();
      new_line();
      const Value& key = members[i]->first;
      append_string(key.string() ? *key.string() : scalar(key), style_.ensure_ascii, out);
      run_.charge(style_.key_separator.size());
      out += style_.key_separator;
      write(members[i]->second);
    }
    --level_;
    new_line();
    out += '}';
  }

  void separate() {
    run_.charge(style_.item_separator.size());
    out += style_.item_separator;
  }

  Run& run_;
  const JsonStyle& style_;
  size_t level_ = 0;
};

}  // namespace

Value from_json(Run& run, const ordered_json& json) { return convert(run, json, 1); }

std::string to_json(Run& run, const Value& value, const JsonStyle& style) {
  Writer writer(run, style);
  writer.write(value);
  return std::move(writer.out);
}

}  // namespace krait::jinja
