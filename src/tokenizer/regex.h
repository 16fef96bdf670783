// A compiled PCRE2 pattern over valid UTF-8 text, with JIT where the machine allows it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;

namespace krait {

// Immutable and safe to share between threads; each thread searches through its own Matcher.
class Regex {
 public:
  struct Match {
    size_t begin;
    size_t end;
  };

  // The memory of one search at a time. The Regex must outlive it.
  class Matcher {
   public:
    explicit Matcher(const Regex& regex);

    // The first match at or after `from`; false when there is none. The characters before `from`
    // count as context. Throws Failure when PCRE2 gives up.
    bool find(std::string_view text, size_t from, Match& match);

   private:
    const Regex* regex_;
    struct Free {
      void operator()(pcre2_real_match_data_8* data) const noexcept;
    };
    std::unique_ptr<pcre2_real_match_data_8, Free> data_;
  };

  // The pattern must be right and must not match the empty string; patterns from files are asked
  // for their problem before.
  explicit Regex(const std::string& pattern);

  // Why the pattern is none that may be used; empty when it is.
  static std::string problem(const std::string& pattern);

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const noexcept;
  };
  static std::unique_ptr<pcre2_real_code_8, Free> compile(const std::string& pattern,
                                                          std::string& problem);

  std::unique_ptr<pcre2_real_code_8, Free> code_;
  bool jit_ = false;
};

}  // namespace krait
