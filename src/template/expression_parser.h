// Expressions, by precedence.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>

#include "src/template/expression.h"
#include "src/template/token_stream.h"

namespace krait::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  ExpressionPtr parse();             // with an inline if
  ExpressionPtr parse_without_if();  // where an `if` that follows belongs to a statement
  // One expression, or several with commas between: a tuple. Ends before the name `end`, too.
  ExpressionPtr parse_tuple(bool with_if = true, std::string_view end = {});

  // The filters of a block, without their input: `name(arguments) | name ...`.
  std::unique_ptr<FilterCall> parse_filter_chain();

 private:
  static constexpr int kMaxHeight = 250;

  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filters = true);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_number();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr value);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr value);
  ExpressionPtr parse_attribute(ExpressionPtr value);
  ExpressionPtr parse_subscript(ExpressionPtr value);
  ExpressionPtr parse_key(ExpressionPtr value, int line);
  ExpressionPtr parse_call(ExpressionPtr callee);
  ExpressionPtr parse_test(ExpressionPtr value);
  std::unique_ptr<FilterCall> parse_filter(ExpressionPtr input, int line);
  ArgumentList parse_arguments();
  bool at_tuple_end(std::string_view end) const;

  // A node once its children are in place: its line and height. Throws InputError for a tree too
  // high.
  template <class Node>
  std::unique_ptr<Node> finish(std::unique_ptr<Node> node, int line,
                               std::initializer_list<const Expression*> children) const;
  template <class Node>
  std::unique_ptr<Node> finish(std::unique_ptr<Node> node, int line, const ArgumentList& arguments,
                               const Expression* child) const;
  ExpressionPtr literal(Value value, int line) const;
  static int height_of(const std::vector<ExpressionPtr>& children);  // that of the highest

  TokenStream& tokens_;
};

template <class Node>
std::unique_ptr<Node> ExpressionParser::finish(
    std::unique_ptr<Node> node, int line, std::initializer_list<const Expression*> children) const {
  node->line = line;
  for (const Expression* child : children)
    if (child) node->height = std::max(node->height, child->height + 1);
  if (node->height > kMaxHeight)
    tokens_.fail("an expression of more than " + std::to_string(kMaxHeight) +
                 " operations on each other");
  return node;
}

template <class Node>
std::unique_ptr<Node> ExpressionParser::finish(std::unique_ptr<Node> node, int line,
                                               const ArgumentList& arguments,
                                               const Expression* child) const {
  for (const ExpressionPtr& each : arguments.positional)
    node->height = std::max(node->height, each->height + 1);
  for (const auto& [name, value] : arguments.named)
    node->height = std::max(node->height, value->height + 1);
  return finish(std::move(node), line,
                {child, arguments.more_positional.get(), arguments.more_named.get()});
}

}  // namespace krait::jinja
