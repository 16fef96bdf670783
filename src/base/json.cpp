#include "src/base/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "krait/error.h"
#include "src/base/file.h"

namespace krait {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxDepth = 256;
constexpr size_t kMaxFileBytes = 256 << 20;
constexpr size_t kMaxQuotedBytes = 80;
constexpr size_t kMaxNonFinite = 1'000'000;  // bounds the memory of the list of them

[[noreturn]] void fail_at(std::string_view text, size_t offset, const std::string& source,
                          const std::string& what) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto column = std::count_if(before.begin() + static_cast<std::ptrdiff_t>(line_start),
                                    before.end(), [](char c) { return (c & 0xc0) != 0x80; }) +
                      1;
  throw InputError(source + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " +
                   what);
}

// A literal that the JSON library does not know. It is handed a string of the same length instead,
// so that positions stay true, and `string_index` tells that string from the real ones.
struct NonFinite {
  size_t offset;
  size_t length;
  size_t string_index;  // counting keys and string values
  double value;
};

std::vector<NonFinite> find_non_finite(std::string_view text, const std::string& source) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<NonFinite> found;
  size_t strings = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (found.size() > kMaxNonFinite)
      fail_at(text, i, source, "too many numbers that are not finite");
    const char c = text[i];
    if (c == '"') {
      ++strings;
      for (++i; i < text.size() && text[i] != '"'; ++i)
        if (text[i] == '\\') ++i;
    } else if (c == 'N' && text.substr(i, 3) == "NaN") {
      found.push_back({i, 3, strings++, std::numeric_limits<double>::quiet_NaN()});
      i += 2;
    } else if (c == 'I' && text.substr(i, 8) == "Infinity") {
      const bool negative = i > 0 && text[i - 1] == '-';
      found.push_back(
          {i - negative, size_t{8} + negative, strings++, negative ? -kInfinity : kInfinity});
      i += 7;
    }
  }
  return found;
}

std::string with_strings_instead(std::string_view text, const std::vector<NonFinite>& literals) {
  std::string copy(text);
  for (const NonFinite& literal : literals) {
    copy[literal.offset] = '"';
    std::fill_n(copy.begin() + static_cast<std::ptrdiff_t>(literal.offset) + 1, literal.length - 2,
                ' ');
    copy[literal.offset + literal.length - 1] = '"';
  }
  return copy;
}

// Iterates over the text and leaves a mark of how far the parser has come.
struct Cursor {
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  const char** reached;

  reference operator*() const { return *at; }
  Cursor& operator++() {
    *reached = ++at;
    return *this;
  }
  Cursor operator++(int) {
    const Cursor before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Cursor& other) const { return at == other.at; }
  bool operator!=(const Cursor& other) const { return at != other.at; }
};

// Between the library's parser and a JsonEvents: puts the non-finite numbers back, limits the
// depth.
class Relay final : public nlohmann::json_sax<json> {
 public:
  Relay(JsonEvents& events, const std::vector<NonFinite>& literals)
      : events_(events), literals_(literals) {}

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(json::number_integer_t value) override { return scalar(value); }
  bool number_unsigned(json::number_unsigned_t value) override { return scalar(value); }
  bool number_float(json::number_float_t value, const std::string&) override {
    return scalar(value);
  }
  bool string(std::string& value) override {
    if (const NonFinite* literal = next_string()) return scalar(literal->value);
    return scalar(std::move(value));
  }
  bool binary(json::binary_t&) override { return false; }  // not in text
  bool key(std::string& name) override {
    if (next_string()) throw InputError("expected a string as the key of an object");
    events_.key(std::move(name));
    return true;
  }
  bool start_object(size_t) override {
    enter();
    events_.begin_object();
    return true;
  }
  bool end_object() override {
    --depth_;
    events_.end_object();
    return true;
  }
  bool start_array(size_t) override {
    enter();
    events_.begin_array();
    return true;
  }
  bool end_array() override {
    --depth_;
    events_.end_array();
    return true;
  }
  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    error_offset = position > 0 ? position - 1 : 0;
    error_message = error.what();
    return false;
  }

  size_t error_offset = 0;
  std::string error_message;

 private:
  bool scalar(json value) {
    events_.scalar(std::move(value));
    return true;
  }
  void enter() {
    if (++depth_ > kMaxDepth)
      throw InputError("nested deeper than " + std::to_string(kMaxDepth) + " levels");
  }
  const NonFinite* next_string() {
    if (next_ == literals_.size() || literals_[next_].string_index != strings_++) return nullptr;
    return &literals_[next_++];
  }

  JsonEvents& events_;
  const std::vector<NonFinite>& literals_;
  size_t next_ = 0;
  size_t strings_ = 0;
  size_t depth_ = 0;
};

// The library's words without its error number and without the text it stumbled on, which may be
// long and anything but UTF-8.
std::string reason_of(const std::string& message) {
  const size_t end = message.find("; last read: ");
  const size_t start = message.find("syntax error");
  if (start != std::string::npos) return "not valid JSON: " + message.substr(start, end - start);
  if (message.find("number overflow") != std::string::npos)
    return "not valid JSON: number out of the range of a double";
  return "not valid JSON: " + message.substr(0, end);
}

template <class Json>
class TreeBuilder : public JsonEvents {
 public:
  void scalar(json&& value) override { add(Json(std::move(value))); }
  void key(std::string&& name) override { slot_ = add_member(*open_.back(), std::move(name)); }
  void begin_object() override { open_.push_back(add(Json::object())); }
  void begin_array() override { open_.push_back(add(Json::array())); }
  void end_object() override { open_.pop_back(); }
  void end_array() override { open_.pop_back(); }

  Json root;

 protected:
  [[noreturn]] static void refuse_duplicate(const std::string& name) {
    throw InputError("duplicate key " + quote(name));
  }

 private:
  // A new member without a value.
  virtual Json* add_member(Json& object, std::string&& name) = 0;

  Json* add(Json&& value) {
    if (open_.empty()) return &(root = std::move(value));
    if (open_.back()->is_object()) return &(*slot_ = std::move(value));
    return &open_.back()->template get_ref<typename Json::array_t&>().emplace_back(
        std::move(value));
  }

  std::vector<Json*> open_;  // containers do not grow while one of their values is open
  Json* slot_ = nullptr;     // the value of the latest key
};

class SortedTree final : public TreeBuilder<json> {
  json* add_member(json& object, std::string&& name) override {
    const auto [entry, is_new] = object.get_ref<json::object_t&>().try_emplace(std::move(name));
    if (!is_new) refuse_duplicate(entry->first);
    return &entry->second;
  }
};

class OrderedTree final : public TreeBuilder<ordered_json> {
 public:
  void scalar(json&& value) override {
    if (value.is_number_float() && !std::isfinite(value.get<double>()))
      throw InputError("Infinity and NaN are no JSON");
    TreeBuilder::scalar(std::move(value));
  }
  void begin_object() override {
    names_.emplace_back();
    TreeBuilder::begin_object();
  }
  void end_object() override {
    names_.pop_back();
    TreeBuilder::end_object();
  }

 private:
  ordered_json* add_member(ordered_json& object, std::string&& name) override {
    if (!names_.back().insert(name).second) refuse_duplicate(name);
    ordered_json::object_t::Container& members = object.get_ref<ordered_json::object_t&>();
    return &members.emplace_back(std::move(name), nullptr).second;
  }

  std::vector<std::set<std::string>> names_;  // of the objects that are open
};

}  // namespace

void parse_json_events(std::string_view text, const std::string& source, JsonEvents& events) {
  // The library takes a NUL byte for the end of the text.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos)
    fail_at(text, nul, source, "not valid JSON: a NUL byte");
  const std::vector<NonFinite> literals = find_non_finite(text, source);
  std::string replaced;
  if (!literals.empty()) replaced = with_strings_instead(text, literals);
  const std::string_view standard = literals.empty() ? text : replaced;

  const char* reached = standard.data();
  Relay relay(events, literals);
  bool ok = false;
  try {
    const char* end = standard.data() + standard.size();
    ok = json::sax_parse(Cursor{standard.data(), &reached}, Cursor{end, &reached}, &relay);
  } catch (const InputError& error) {
    const auto read = static_cast<size_t>(reached - standard.data());
    fail_at(text, read > 0 ? read - 1 : 0, source, error.what());
  }
  if (!ok) fail_at(text, relay.error_offset, source, reason_of(relay.error_message));
}

json parse_json(std::string_view text, const std::string& source) {
  SortedTree tree;
  parse_json_events(text, source, tree);
  return std::move(tree.root);
}

ordered_json parse_ordered_json(std::string_view text, const std::string& source) {
  OrderedTree tree;
  parse_json_events(text, source, tree);
  return std::move(tree.root);
}

json read_json_file(const std::string& path) {
  return parse_json(read_text_file(path, kMaxFileBytes), path);
}

std::string quote(std::string_view text) {
  const bool is_short = text.size() <= kMaxQuotedBytes;
  const std::string shown = std::string(text.substr(0, kMaxQuotedBytes)) + (is_short ? "" : "...");
  return json(shown).dump(-1, ' ', true, json::error_handler_t::replace);
}

}  // namespace krait
