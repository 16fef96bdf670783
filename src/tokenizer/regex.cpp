#define PCRE2_CODE_UNIT_WIDTH 8
#include "src/tokenizer/regex.h"

#include <array>
#include <new>

#include <pcre2.h>

#include "krait/error.h"

namespace krait {
namespace {

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

void Regex::Free::operator()(pcre2_real_code_8* code) const noexcept { pcre2_code_free(code); }

void Regex::Matcher::Free::operator()(pcre2_real_match_data_8* data) const noexcept {
  pcre2_match_data_free(data);
}

std::unique_ptr<pcre2_real_code_8, Regex::Free> Regex::compile(const std::string& pattern,
                                                               std::string& problem) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  std::unique_ptr<pcre2_real_code_8, Free> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  if (error == PCRE2_ERROR_HEAP_FAILED) throw std::bad_alloc();
  if (code == nullptr) {
    problem = message_of(error);
    return code;
  }
  uint32_t matches_empty = 0;
  pcre2_pattern_info(code.get(), PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty != 0) problem = "it matches the empty string";
  return code;
}

std::string Regex::problem(const std::string& pattern) {
  std::string found;
  compile(pattern, found);
  return found;
}

Regex::Regex(const std::string& pattern) {
  std::string found;
  code_ = compile(pattern, found);
  KRAIT_CHECK(found.empty());
  jit_ = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE) == 0;
}

Regex::Matcher::Matcher(const Regex& regex)
    : regex_(&regex), data_(pcre2_match_data_create(1, nullptr)) {
  if (data_ == nullptr) throw std::bad_alloc();
}

bool Regex::Matcher::find(std::string_view text, size_t from, Match& match) {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const auto run = regex_->jit_ ? pcre2_jit_match : pcre2_match;
  const int count = run(regex_->code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                        data_.get(), nullptr);
  if (count == PCRE2_ERROR_NOMATCH) return false;
  if (count == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
  // Zero means that there were more groups than places: the whole match is there all the same.
  if (count < 0) throw Failure("splitting the text failed: PCRE2: " + message_of(count));
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data_.get());
  match = {offsets[0], offsets[1]};
  return true;
}

}  // namespace krait
