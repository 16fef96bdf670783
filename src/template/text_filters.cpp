// Filters that give a text, or count in one.
#include <limits>

#include "src/template/attributes.h"
#include "src/template/characters.h"
#include "src/template/filters.h"
#include "src/template/json_text.h"
#include "src/template/methods.h"
#include "src/template/operators.h"
#include "src/template/python_text.h"

namespace krait::jinja {
namespace {

Value mapped(Run& run, const Value& input, const Arguments& arguments, std::string_view name,
             std::string (*map)(std::string_view)) {
  arguments.bind(run, name, {});
  const std::string text = text_of(run, input);
  run.scan(text.size());
  return run.string(map(text));
}

// Unlike the method, a word begins behind white space, a hyphen or an opening bracket only.
std::string titled_words(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (const std::string_view each : characters(text)) {
    size_t length = 0;
    const char32_t code = code_at(each, 0, length);
    const bool is_gap =
        is_space(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<';
    out += in_word ? to_lower(each) : to_upper(each);
    in_word = !is_gap;
  }
  return out;
}

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  return out;
}

// The argument, or `width` spaces.
std::string indent_of(Run& run, const Value* argument, int64_t fallback, std::string_view what) {
  if (argument && argument->string()) return *argument->string();
  const int64_t width = integer_or(run, argument, fallback, what);
  if (width > 1000)
    run.fail(std::string(what) + " is " + std::to_string(width) + "; expected at most 1000");
  return std::string(width > 0 ? static_cast<size_t>(width) : 0, ' ');
}

}  // namespace

Value capitalize_filter(Run& run, const Value& input, const Arguments& arguments) {
  return mapped(run, input, arguments, "capitalize", capitalized);
}
Value lower_filter(Run& run, const Value& input, const Arguments& arguments) {
  return mapped(run, input, arguments, "lower", to_lower);
}
Value title_filter(Run& run, const Value& input, const Arguments& arguments) {
  return mapped(run, input, arguments, "title", titled_words);
}
Value upper_filter(Run& run, const Value& input, const Arguments& arguments) {
  return mapped(run, input, arguments, "upper", to_upper);
}
Value escape_filter(Run& run, const Value& input, const Arguments& arguments) {
  return mapped(run, input, arguments, "escape", html_escaped);
}

Value string_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "string", {});
  return input.string() ? input : run.string(text_of(run, input));
}

Value default_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "default", {"?default_value", "?boolean"});
  const bool is_replaced = input.is_undefined() || (truth_or(bound[1], false) && !input.truth());
  if (!is_replaced) return input;
  return bound[0] ? *bound[0] : run.string("");
}

Value trim_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "trim", {"?chars"});
  return strip_text(run, text_of(run, input), bound[0], Ends::both);
}

Value replace_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "replace", {"old", "new", "?count"});
  const bool is_limited = bound[2] && !bound[2]->is_none();
  const int64_t count = is_limited ? integer_or(run, bound[2], -1, "replace: count") : -1;
  return run.string(replace_text(run, text_of(run, input), text_of(run, *bound[0]),
                                 text_of(run, *bound[1]),
                                 count < 0 ? std::numeric_limits<int64_t>::max() : count));
}

Value join_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "join", {"?d", "?attribute"});
  std::vector<Value> parts = items_of(run, input);
  if (bound[1] && !bound[1]->is_none())
    for (Value& part : parts) part = path_of(run, part, *bound[1]);
  return join_texts(run, bound[0] ? text_of(run, *bound[0]) : "", parts);
}

Value indent_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "indent", {"?width", "?first", "?blank"});
  const std::string indent = indent_of(run, bound[0], 4, "indent: width");
  const std::string text = string_argument(run, input, "the input of indent") + "\n";
  run.scan(text.size());
  std::string out;
  bool is_first = true;
  for (const std::string_view line : lines(text)) {
    if (!is_first) out += '\n';
    const bool is_indented =
        is_first ? truth_or(bound[1], false) : truth_or(bound[2], false) || !line.empty();
    run.charge(line.size() + indent.size());
    if (is_indented) out += indent;
    out += line;
    is_first = false;
  }
  return run.string(std::move(out));
}

Value length_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "length", {});
  return Value::integer(static_cast<int64_t>(length_of(run, input)));
}

Value wordcount_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "wordcount", {});
  const std::string text = text_of(run, input);
  run.scan(text.size());
  int64_t count = 0;
  bool in_word = false;
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const bool is_part = is_word(code_at(text, at, length));
    count += is_part && !in_word;
    in_word = is_part;
  }
  return Value::integer(count);
}

// As transformers gives it to templates, with the arguments of json.dumps.
Value tojson_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound =
      arguments.bind(run, "tojson", {"?ensure_ascii", "?indent", "?separators", "?sort_keys"});
  JsonStyle style;
  style.ensure_ascii = truth_or(bound[0], false);
  style.sort_keys = truth_or(bound[3], false);
  std::string indent;
  if (bound[1] && !bound[1]->is_none()) {
    indent = indent_of(run, bound[1], 0, "tojson: indent");
    style.indent = &indent;
    style.item_separator = ",";
  }
  if (bound[2] && !bound[2]->is_none()) {
    const List* pair = bound[2]->list();
    if (pair == nullptr || pair->items.size() != 2)
      run.fail("tojson: separators needs a pair of strings");
    style.item_separator = string_argument(run, pair->items[0], "tojson: a separator");
    style.key_separator = string_argument(run, pair->items[1], "tojson: a separator");
  }
  return run.string(to_json(run, input, style));
}

}  // namespace krait::jinja
