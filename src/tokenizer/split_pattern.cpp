#include "src/tokenizer/split_pattern.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "src/tokenizer/character_tables.h"

namespace krait {
namespace {

bool is_in(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

bool is_punctuation(char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; }

// Reads a pattern from left to right. Every reader returns false where it meets what it does not
// understand.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {}

  std::optional<std::string> run() {
    while (!rest_.empty())
      if (!item()) return std::nullopt;
    return std::move(out_);
  }

 private:
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  void copy(size_t bytes) {
    out_ += rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
  }

  bool item() {
    if (take("[")) return set();
    if (rest_[0] == '(') return group();
    if (rest_[0] == '\\') return escape(false);
    if (is_in(rest_[0], "?*+{")) return quantifier();
    // What '.', '^' and '$' make of line ends differs.
    if (is_in(rest_[0], ".^$")) return false;
    copy(1);
    return true;
  }

  bool escape(bool in_set) {
    const auto class_of = [&](const std::string& inside) {
      out_ += in_set ? inside : "[" + inside + "]";
      return true;
    };
    if (take(R"(\s)")) return class_of(space_class());
    if (take(R"(\p{L})")) return class_of(letter_class());
    if (take(R"(\p{N})")) return class_of(number_class());
    if (!in_set && take(R"(\S)")) return class_of("^" + space_class());
    if (rest_.size() < 2 || !is_in(rest_[1], R"(rnt\.^$|?*+()[]{}-/)")) return false;
    copy(2);
    return true;
  }

  static bool is_class(std::string_view text) {
    return text.starts_with(R"(\s)") || text.starts_with(R"(\p)");
  }

  bool set() {
    out_ += '[';
    if (take("^")) out_ += '^';
    for (bool first = true; !rest_.empty(); first = false) {
      if (rest_[0] == ']') {
        if (first) return false;  // a literal in one language, an empty set in the other
        copy(1);
        return true;
      }
      // A class is no end of a range: what '-' beside one means differs.
      if (is_class(rest_)) {
        if (!escape(true) || (rest_.starts_with('-') && !rest_.starts_with("-]"))) return false;
        continue;
      }
      if (rest_[0] == '-' && is_class(rest_.substr(1))) return false;
      if (rest_[0] == '\\') {
        if (!escape(true)) return false;
        continue;
      }
      // Sets in sets and their intersections exist in Oniguruma only.
      if (rest_[0] == '[' || rest_.starts_with("&&")) return false;
      copy(1);
    }
    return false;
  }

  bool group() {
    if (rest_.starts_with("(?i:")) return caseless_group();
    for (const std::string_view opening : {"(?:", "(?=", "(?!"})
      if (rest_.starts_with(opening)) {
        copy(opening.size());
        return true;
      }
    if (rest_.size() > 1 && is_in(rest_[1], "?*")) return false;
    copy(1);
    return true;
  }

  // Oniguruma also folds letters to ligatures, PCRE2 does not: such pairs are left alone.
  bool caseless_group() {
    const size_t end = rest_.find(')');
    if (end == std::string_view::npos) return false;
    constexpr size_t kOpening = 4;
    std::string body(rest_.substr(kOpening, end - kOpening));
    for (char& c : body) {
      if (!is_in(c, "'|[]") && !std::isalpha(static_cast<unsigned char>(c))) return false;
      c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    for (const char* pair : {"ss", "ff", "fi", "fl", "st"})
      if (body.find(pair) != std::string::npos) return false;
    copy(end + 1);
    return true;
  }

  bool quantifier() {
    if (rest_[0] != '{') {
      copy(1);
      if (!rest_.empty() && is_in(rest_[0], "?+")) copy(1);  // lazy, possessive
      return true;
    }
    const size_t end = rest_.find('}');
    if (end == std::string_view::npos) return false;
    const std::string_view bounds = rest_.substr(1, end - 1);
    const bool plain =
        std::all_of(bounds.begin(), bounds.end(), [](char c) { return is_in(c, "0123456789,"); });
    if (!plain || bounds.empty() || bounds[0] == ',') return false;
    copy(end + 1);
    return rest_.empty() || !is_in(rest_[0], "?+");  // which mean different things here
  }

  std::string_view rest_;
  std::string out_;
};

}  // namespace

std::optional<std::string> pcre2_from_oniguruma(std::string_view pattern) {
  return Translator(pattern).run();
}

std::string pattern_of_literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (is_punctuation(c)) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace krait
