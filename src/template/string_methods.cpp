#include <algorithm>
#include <limits>

#include "src/template/characters.h"
#include "src/template/methods.h"
#include "src/template/operators.h"
#include "src/template/python_text.h"

namespace krait::jinja {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

int64_t limit_of(Run& run, const Value* argument, std::string_view what) {
  const int64_t limit = integer_or(run, argument, -1, what);
  return limit < 0 ? kUnlimited : limit;
}

template <Ends ends>
Value strip_method(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "strip", {"?chars"});
  return strip_text(run, *self.string(), bound[0], ends);
}

template <bool from_right>
Value split_method(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "split", {"?sep", "?maxsplit"});
  return split_text(run, *self.string(), bound[0], limit_of(run, bound[1], "maxsplit"), from_right);
}

Value splitlines(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "splitlines", {"?keepends"});
  if (truth_or(bound[0], false)) run.fail("splitlines: keepends is not supported");
  run.scan(self.string()->size());
  std::vector<Value> made;
  for (const std::string_view line : lines(*self.string()))
    made.push_back(run.string(std::string(line)));
  return run.list(std::move(made));
}

Value replace(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "replace", {"old", "new", "?count"});
  return run.string(replace_text(
      run, *self.string(), string_argument(run, *bound[0], "replace: old"),
      string_argument(run, *bound[1], "replace: new"), limit_of(run, bound[2], "count")));
}

template <bool at_end>
Value has_affix(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, at_end ? "endswith" : "startswith", {"affix"});
  const std::string_view text = *self.string();
  const auto fits = [&](const Value& affix) {
    const std::string& wanted = string_argument(run, affix, "the affix");
    run.scan(wanted.size());
    return at_end ? text.ends_with(wanted) : text.starts_with(wanted);
  };
  if (!bound[0]->list() || !bound[0]->list()->is_tuple) return Value::boolean(fits(*bound[0]));
  const auto& affixes = bound[0]->list()->items;
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), fits));
}

template <bool at_end>
Value remove_affix(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, at_end ? "removesuffix" : "removeprefix", {"affix"});
  const std::string& affix = string_argument(run, *bound[0], "the affix");
  std::string_view text = *self.string();
  if (at_end ? text.ends_with(affix) : text.starts_with(affix))
    at_end ? text.remove_suffix(affix.size()) : text.remove_prefix(affix.size());
  return run.string(std::string(text));
}

template <std::string (*map)(std::string_view)>
Value mapped(Run& run, const Value& self, const Arguments& arguments) {
  arguments.bind(run, "the method", {});
  run.scan(self.string()->size());
  run.charge(self.string()->size());
  return run.string(map(*self.string()));
}

// find, rfind, index, rindex: the place of a part, counted in characters.
template <bool from_right, bool must_find>
Value find_method_of(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "find", {"part", "?start"});
  const std::string_view text = *self.string();
  const std::string& part = string_argument(run, *bound[0], "the part");
  run.scan(text.size() + part.size());
  int64_t start = integer_or(run, bound[1], 0, "start");
  const auto size = static_cast<int64_t>(character_count(text));
  if (start < 0) start = std::max(start + size, int64_t{0});
  size_t found = std::string_view::npos;
  if (start <= size) {
    const size_t begin = byte_of(text, static_cast<size_t>(start));
    const std::string_view rest = text.substr(begin);
    if (from_right) run.charge(rest.size());
    found = from_right ? rfind_text(rest, part) : find_text(rest, part);
    if (found != std::string_view::npos) found += begin;
  }
  if (found == std::string_view::npos) {
    if (must_find) run.fail("index: the part is not in the string");
    return Value::integer(-1);
  }
  return Value::integer(static_cast<int64_t>(character_count(text.substr(0, found))));
}

Value count(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "count", {"part"});
  const std::string& part = string_argument(run, *bound[0], "the part");
  const std::string& text = *self.string();
  run.scan(text.size());
  if (part.empty()) return Value::integer(static_cast<int64_t>(character_count(text)) + 1);
  int64_t found = 0;
  for (size_t at = 0; (at = find_text(text, part, at)) != std::string::npos; at += part.size())
    ++found;
  return Value::integer(found);
}

Value join(Run& run, const Value& self, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "join", {"parts"});
  if (bound[0]->is_undefined()) run.fail(bound[0]->why_undefined());
  const std::vector<Value> parts = items_of(run, *bound[0]);
  for (const Value& part : parts) string_argument(run, part, "a part to join");
  return join_texts(run, *self.string(), parts);
}

template <bool (*test)(char32_t)>
Value all_are(Run& run, const Value& self, const Arguments& arguments) {
  arguments.bind(run, "the method", {});
  const std::string& text = *self.string();
  run.scan(text.size());
  bool all = !text.empty();
  for (size_t at = 0, length = 0; all && at < text.size(); at += length)
    all = test(code_at(text, at, length));
  return Value::boolean(all);
}

bool is_letter_or_digit(char32_t code) { return is_letter(code) || is_digit(code); }

template <bool (*test)(std::string_view) noexcept>
Value is_in_case(Run& run, const Value& self, const Arguments& arguments) {
  arguments.bind(run, "the method", {});
  run.scan(self.string()->size());
  return Value::boolean(test(*self.string()));
}

constexpr Method kStringMethods[] = {
    {"capitalize", mapped<capitalized>},
    {"count", count},
    {"endswith", has_affix<true>},
    {"find", find_method_of<false, false>},
    {"index", find_method_of<false, true>},
    {"isalnum", all_are<is_letter_or_digit>},
    {"isalpha", all_are<is_letter>},
    {"isdigit", all_are<is_digit>},
    {"islower", is_in_case<is_lower_text>},
    {"isspace", all_are<is_space>},
    {"isupper", is_in_case<is_upper_text>},
    {"join", join},
    {"lower", mapped<to_lower>},
    {"lstrip", strip_method<Ends::left>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find_method_of<true, false>},
    {"rindex", find_method_of<true, true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip_method<Ends::right>},
    {"split", split_method<false>},
    {"splitlines", splitlines},
    {"startswith", has_affix<false>},
    {"strip", strip_method<Ends::both>},
    {"title", mapped<titled>},
    {"upper", mapped<to_upper>},
};

// The words of a text, at most limit + 1 of them: one end then stands for the rest.
std::vector<std::string_view> words(std::string_view text, int64_t limit, bool from_right) {
  std::vector<std::string_view> found;
  size_t begin = 0;
  for (size_t at = 0, length = 0; at <= text.size(); at += length) {
    length = 1;
    if (at < text.size() && !is_space(code_at(text, at, length))) continue;
    if (at > begin) found.push_back(text.substr(begin, at - begin));
    begin = at + length;
  }
  const auto count = static_cast<int64_t>(found.size());
  if (count <= limit) return found;
  const auto split = static_cast<size_t>(from_right ? count - limit - 1 : limit);
  const char* const from = from_right ? found.front().data() : found[split].data();
  const std::string_view last = from_right ? found[split] : found.back();
  const std::string_view rest(from, static_cast<size_t>(last.data() + last.size() - from));
  const auto at_split = found.begin() + static_cast<std::ptrdiff_t>(split);
  if (from_right)
    found.erase(found.begin(), at_split);
  else
    found.erase(at_split + 1, found.end());
  (from_right ? found.front() : found.back()) = rest;
  return found;
}

std::vector<std::string_view> fields(std::string_view text, std::string_view separator,
                                     int64_t limit) {
  std::vector<std::string_view> found;
  size_t begin = 0;
  while (static_cast<int64_t>(found.size()) < limit) {
    const size_t at = find_text(text, separator, begin);
    if (at == std::string_view::npos) break;
    found.push_back(text.substr(begin, at - begin));
    begin = at + separator.size();
  }
  found.push_back(text.substr(begin));
  return found;
}

// The same from the right: the fields of the text read backwards, themselves backwards.
std::vector<std::string_view> fields_from_right(std::string_view text, std::string_view separator,
                                                int64_t limit) {
  const std::string backwards(text.rbegin(), text.rend());
  std::vector<std::string_view> found =
      fields(backwards, std::string(separator.rbegin(), separator.rend()), limit);
  for (std::string_view& field : found) {
    const auto place = static_cast<size_t>(field.data() - backwards.data());
    field = text.substr(text.size() - place - field.size(), field.size());
  }
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace

std::span<const Method> string_methods() { return kStringMethods; }

Value split_text(Run& run, const std::string& text, const Value* separator, int64_t limit,
                 bool from_right) {
  run.scan(text.size());
  std::vector<std::string_view> found;
  if (separator == nullptr || separator->is_none()) {
    found = words(text, limit, from_right);
  } else {
    const std::string& by = string_argument(run, *separator, "split: the separator");
    if (by.empty()) run.fail("split: the separator is empty");
    if (from_right) run.charge(text.size());
    found = from_right ? fields_from_right(text, by, limit) : fields(text, by, limit);
  }
  std::vector<Value> parts;
  for (const std::string_view part : found) parts.push_back(run.string(std::string(part)));
  return run.list(std::move(parts));
}

std::string replace_text(Run& run, const std::string& text, const std::string& old,
                         const std::string& by, int64_t limit) {
  run.scan(text.size());
  std::string out;
  size_t at = 0;
  for (int64_t count = 0; count < limit; ++count) {
    const size_t found = find_text(text, old, at);
    if (found == std::string::npos) break;
    run.step();
    run.charge(by.size() + found - at);
    out.append(text, at, found - at);
    out += by;
    at = found + old.size();
    if (!old.empty()) continue;
    if (at == text.size()) return out;
    size_t length = 0;  // between all characters
    code_at(text, at, length);
    out.append(text, at, length);
    at += length;
  }
  return out + text.substr(at);
}

Value strip_text(Run& run, const std::string& text, const Value* chars, Ends ends) {
  run.scan(text.size());
  if (chars == nullptr || chars->is_none()) return run.string(std::string(strip(text, ends)));
  const std::string_view set = string_argument(run, *chars, "the characters to strip");
  run.scan(set.size());
  run.step(text.size() / 16 * (1 + set.size() / 16));  // each of the text is sought in the set
  return run.string(std::string(strip(text, ends, &set)));
}

Value join_texts(Run& run, const std::string& separator, const std::vector<Value>& parts) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) {
      run.charge(separator.size());
      out += separator;
    }
    const std::string next = text_of(run, parts[i]);
    run.charge(next.size());
    out += next;
  }
  return run.string(std::move(out));
}

}  // namespace krait::jinja
