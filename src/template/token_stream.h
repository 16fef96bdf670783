// The tokens of a template, as its parsers read them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/template/lexer.h"

namespace krait::jinja {

class TokenStream {
 public:
  static constexpr int kMaxNesting = 100;

  TokenStream(std::vector<Token> tokens, const std::string& name)
      : tokens_(std::move(tokens)), name_(name) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  bool at(Token::Kind kind) const { return current().kind == kind; }
  bool at_sign(std::string_view sign) const { return current().is(Token::Kind::sign, sign); }
  bool at_name(std::string_view name) const { return current().is(Token::Kind::name, name); }

  // The last token, of the end, is never passed.
  Token next() { return at_ + 1 < tokens_.size() ? std::move(tokens_[at_++]) : tokens_[at_]; }

  bool skip_sign(std::string_view sign) { return at_sign(sign) && (next(), true); }
  bool skip_name(std::string_view name) { return at_name(name) && (next(), true); }

  Token expect(Token::Kind kind, const std::string& what) {
    if (!at(kind)) fail("found " + describe(current()) + "; expected " + what);
    return next();
  }
  void expect_sign(std::string_view sign) {
    if (!skip_sign(sign))
      fail("found " + describe(current()) + "; expected '" + std::string(sign) + "'");
  }
  void expect_name(std::string_view name) {
    if (!skip_name(name))
      fail("found " + describe(current()) + "; expected '" + std::string(name) + "'");
  }

  // Throws InputError for the line of the current token.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  friend class Nesting;
  std::vector<Token> tokens_;
  const std::string& name_;
  size_t at_ = 0;
  int nesting_ = 0;
};

// Counts one level of nesting while it lives.
class Nesting {
 public:
  explicit Nesting(TokenStream& tokens) : tokens_(tokens) {
    if (tokens_.nesting_ >= TokenStream::kMaxNesting)
      tokens_.fail("nested deeper than " + std::to_string(TokenStream::kMaxNesting) + " levels");
    ++tokens_.nesting_;
  }
  ~Nesting() { --tokens_.nesting_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  TokenStream& tokens_;
};

}  // namespace krait::jinja
