#include "src/template/lexer.h"

#include <algorithm>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/template/characters.h"

namespace krait::jinja {
namespace {

using Kind = Token::Kind;

bool is_digit_of(char c, int base) {
  const int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : 99;
  return value < base;
}

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_part(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

// One kind of line end, and without the last one.
std::string with_plain_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t at = 0; at < source.size(); ++at) {
    if (source[at] == '\r' && source.substr(at + 1, 1) == "\n") continue;
    out += source[at] == '\r' ? '\n' : source[at];
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name)
      : plain_(with_plain_lines(source)), source_(plain_), name_(name) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) read_text();
    add(Kind::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(name_ + ":" + std::to_string(line_) + ": " + what);
  }

  void add(Kind kind, std::string text, int base = 10) {
    tokens_.push_back({kind, static_cast<uint8_t>(base), line_, std::move(text)});
  }

  std::string_view rest(size_t length) const { return source_.substr(at_, length); }

  void advance(size_t length) {
    const std::string_view passed = rest(length);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    at_ += length;
  }

  void skip_space() {
    advance(source_.size() - at_ - strip(source_.substr(at_), Ends::left).size());
  }

  // Text up to the next tag, and the tag.
  void read_text() {
    size_t end = at_;
    while ((end = source_.find('{', end)) != std::string_view::npos)
      if (const auto next = source_.substr(end + 1, 1); next == "{" || next == "%" || next == "#")
        break;
      else
        ++end;
    if (end == std::string_view::npos) {
      add_text(source_.substr(at_));
      at_ = source_.size();
      return;
    }
    const char tag = source_[end + 1];
    add_text(before_tag(source_.substr(at_, end - at_), tag != '{', end + 2));
    advance(end + 2 - at_);
    if (rest(1) == "-" || rest(1) == "+") advance(1);
    if (tag == '#') return read_comment();
    if (tag == '%' && read_raw()) return;
    read_tag(tag == '{');
  }

  void add_text(std::string_view text) {
    if (!text.empty()) add(Kind::text, std::string(text));
  }

  // The text before a tag, whose sign for white space, if any, stands at source_[sign].
  std::string_view before_tag(std::string_view text, bool is_stripped, size_t sign) const {
    if (source_.substr(sign, 1) == "-") return strip(text, Ends::right);
    if (source_.substr(sign, 1) == "+" || !is_stripped) return text;
    const size_t line_start = text.rfind('\n') + 1;  // npos + 1 is 0
    if (line_start == 0 && !at_line_start_) return text;
    return strip(text.substr(line_start), Ends::left).empty() ? text.substr(0, line_start) : text;
  }

  // The end of a tag at this place, as "}}" or "%}" or "#}": whether there is one, and if so, past
  // it and the white space that goes with it.
  bool take_end(std::string_view mark) {
    const std::string_view sign = rest(1);
    const bool has_sign = sign == "-" || (sign == "+" && mark != "}}");
    if (source_.substr(at_ + has_sign, mark.size()) != mark) return false;
    advance(has_sign + mark.size());
    if (has_sign && sign == "-")
      skip_space();
    else if (!has_sign && mark != "}}" && rest(1) == "\n")
      advance(1);
    at_line_start_ = source_[at_ - 1] == '\n';
    return true;
  }

  void read_comment() {
    const int begin = line_;
    while (!take_end("#}")) {
      if (at_ >= source_.size()) {
        line_ = begin;
        fail("a comment that does not end: expected '#}'");
      }
      advance(1);
    }
  }

  // {% raw %}...{% endraw %}, the first tag being open: whether it is one.
  bool read_raw() {
    const size_t start = at_;
    const int begin = line_;
    skip_space();
    if (rest(3) != "raw") return back_to(start, begin);
    advance(3);
    skip_space();
    // Unlike other tags, this one keeps the line end behind it.
    if (rest(3) == "-%}") {
      advance(3);
      skip_space();
    } else if (rest(2) == "%}") {
      advance(2);
    } else {
      return back_to(start, begin);
    }
    at_line_start_ = source_[at_ - 1] == '\n';
    const size_t text = at_;
    while (at_ < source_.size()) {
      const size_t open = source_.find("{%", at_);
      if (open == std::string_view::npos) break;
      advance(open + 2 - at_);
      if (rest(1) == "-" || rest(1) == "+") advance(1);
      skip_space();
      if (rest(6) != "endraw") continue;
      advance(6);
      skip_space();
      const std::string_view kept = before_tag(source_.substr(text, open - text), true, open + 2);
      if (!take_end("%}")) continue;
      add_text(kept);
      return true;
    }
    line_ = begin;
    fail("a raw block that does not end: expected '{% endraw %}'");
  }

  bool back_to(size_t place, int line) {
    at_ = place;
    line_ = line;
    return false;
  }

  void read_tag(bool is_output) {
    add(is_output ? Kind::output_begin : Kind::statement_begin, is_output ? "{{" : "{%");
    const std::string_view mark = is_output ? "}}" : "%}";
    std::string open;  // brackets
    for (;;) {
      if (open.empty()) {
        const int line = line_;
        if (take_end(mark)) {
          add(is_output ? Kind::output_end : Kind::statement_end, std::string(mark));
          tokens_.back().line = line;
          return;
        }
      }
      if (at_ >= source_.size())
        fail("a tag that does not end: expected '" + std::string(mark) + "'");
      read_token(open);
    }
  }

  void read_token(std::string& open) {
    const char c = source_[at_];
    size_t length = 0;
    if (is_space(code_at(source_, at_, length))) return skip_space();
    if (c == '\'' || c == '"') return read_string(c);
    if (c >= '0' && c <= '9') return read_number();
    if (is_name_start(c)) {
      length = 1;
      while (at_ + length < source_.size() && is_name_part(source_[at_ + length])) ++length;
      add(Kind::name, std::string(rest(length)));
      return advance(length);
    }
    for (const std::string_view sign : {"//", "**", "==", "!=", ">=", "<="})
      if (rest(2) == sign) return add_sign(sign);
    constexpr std::string_view kSigns = "+-/*%~[](){}><=.:|,;";
    if (kSigns.find(c) == std::string_view::npos)
      fail("unexpected character " + quote(rest(length)));
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail(std::string("unexpected '") + c + "'");
      if (open.back() != c)
        fail(std::string("unexpected '") + c + "'; expected '" + open.back() + "'");
      open.pop_back();
    }
    add_sign(rest(1));
  }

  void add_sign(std::string_view sign) {
    add(Kind::sign, std::string(sign));
    advance(sign.size());
  }

  // Digits with single underscores between them, appended to `out`.
  void take_digits(int base, std::string& out) {
    for (;;) {
      const bool is_gap = rest(1) == "_" && at_ + 1 < source_.size() && !out.empty() &&
                          is_digit_of(source_[at_ + 1], base);
      if (is_gap) advance(1);
      if (at_ >= source_.size() || !is_digit_of(source_[at_], base)) return;
      out += source_[at_];
      advance(1);
    }
  }

  bool digit_at(size_t place) const {
    return place < source_.size() && is_digit_of(source_[place], 10);
  }

  void read_number() {
    const char kind = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : ' ';
    const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    std::string digits;
    if (source_[at_] == '0' && base != 10 && at_ + 2 < source_.size() &&
        is_digit_of(source_[at_ + 2], base)) {
      advance(2);
      take_digits(base, digits);
      return add(Kind::integer, std::move(digits), base);
    }
    // After a dot, as in `a.0.1`, digits are an index.
    const bool is_index = at_ > 0 && source_[at_ - 1] == '.';
    take_digits(10, digits);
    bool is_real = false;
    if (!is_index && rest(1) == "." && digit_at(at_ + 1)) {
      digits += '.';
      advance(1);
      take_digits(10, digits);
      is_real = true;
    }
    if (!is_index && (rest(1) == "e" || rest(1) == "E")) {
      const bool has_sign = source_.substr(at_ + 1, 1) == "+" || source_.substr(at_ + 1, 1) == "-";
      if (digit_at(at_ + 1 + has_sign)) {
        digits += 'e';
        if (has_sign) digits += source_[at_ + 1];
        advance(1 + has_sign);
        take_digits(10, digits);
        is_real = true;
      }
    }
    add(is_real ? Kind::real : Kind::integer, std::move(digits));
  }

  void read_string(char mark) {
    const int begin = line_;
    std::string text;
    advance(1);
    for (;;) {
      if (at_ >= source_.size()) {
        line_ = begin;
        fail("a string that does not end: expected " + std::string(1, mark));
      }
      const char c = source_[at_];
      if (c == '\\' && at_ + 1 < source_.size()) {
        read_escape(text);
        continue;
      }
      advance(1);
      if (c == mark) break;
      text += c;
    }
    add(Kind::string, std::move(text));
    tokens_.back().line = begin;
  }

  // As in Python; a backslash before anything else stays.
  void read_escape(std::string& text) {
    constexpr std::string_view kNames = "abfnrtv\\'\"";
    constexpr std::string_view kCodes = "\a\b\f\n\r\t\v\\'\"";
    const char c = source_[at_ + 1];
    advance(2);
    if (c == '\n') return;
    if (const size_t found = kNames.find(c); found != std::string_view::npos) {
      text += kCodes[found];
    } else if (c >= '0' && c <= '7') {
      char32_t code = static_cast<char32_t>(c - '0');
      for (int i = 0; i < 2 && at_ < source_.size() && is_digit_of(source_[at_], 8); ++i) {
        code = code * 8 + static_cast<char32_t>(source_[at_] - '0');
        advance(1);
      }
      append_utf8(code, text);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      read_code(c == 'x' ? 2 : c == 'u' ? 4 : 8, text);
    } else if (c == 'N') {
      fail("the escape \\N is not supported; write the character itself");
    } else {
      text += '\\';
      text += c;
    }
  }

  void read_code(size_t digits, std::string& text) {
    const std::string_view hex = rest(digits);
    const bool is_hex = hex.size() == digits && std::all_of(hex.begin(), hex.end(), [](char c) {
                          return is_digit_of(c, 16);
                        });
    if (!is_hex) fail("an escape in a string needs " + std::to_string(digits) + " hex digits");
    const auto code = static_cast<char32_t>(std::stoul(std::string(hex), nullptr, 16));
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      fail("the escape of " + std::string(hex) + " is no character");
    append_utf8(code, text);
    advance(digits);
  }

  const std::string plain_;
  const std::string_view source_;
  const std::string& name_;
  size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& name) {
  return Lexer(source, name).run();
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case Kind::text: return "text";
    case Kind::string: return "the string " + quote(token.text);
    case Kind::end: return "the end of the template";
    default: return "'" + token.text + "'";
  }
}

}  // namespace krait::jinja
