#include "src/template/expression_parser.h"

#include <algorithm>

namespace krait::jinja {
namespace {

using Kind = Token::Kind;

}  // namespace

ExpressionPtr ExpressionParser::parse() {
  const Nesting nesting(tokens_);
  const int line = tokens_.current().line;
  ExpressionPtr value = parse_without_if();
  while (tokens_.skip_name("if")) {
    auto node = std::make_unique<Conditional>();
    node->then = std::move(value);
    node->condition = parse_without_if();
    if (tokens_.skip_name("else")) node->otherwise = parse();
    const auto children = {node->condition.get(), node->then.get(), node->otherwise.get()};
    value = finish(std::move(node), line, children);
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_without_if() {
  const int line = tokens_.current().line;
  ExpressionPtr first = parse_and();
  if (!tokens_.at_name("or")) return first;
  auto node = std::make_unique<Logical>();
  node->is_and = false;
  node->operands.push_back(std::move(first));
  while (tokens_.skip_name("or")) node->operands.push_back(parse_and());
  node->height = height_of(node->operands) + 1;
  return finish(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::parse_and() {
  const int line = tokens_.current().line;
  ExpressionPtr first = parse_not();
  if (!tokens_.at_name("and")) return first;
  auto node = std::make_unique<Logical>();
  node->is_and = true;
  node->operands.push_back(std::move(first));
  while (tokens_.skip_name("and")) node->operands.push_back(parse_not());
  node->height = height_of(node->operands) + 1;
  return finish(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::parse_not() {
  const Nesting nesting(tokens_);
  const int line = tokens_.current().line;
  if (!tokens_.skip_name("not")) return parse_comparison();
  auto node = std::make_unique<Unary>();
  node->operation = Unary::Operation::logical_not;
  node->operand = parse_not();
  const Expression* child = node->operand.get();
  return finish(std::move(node), line, {child});
}

ExpressionPtr ExpressionParser::parse_comparison() {
  using Operation = Comparison::Operation;
  constexpr std::pair<std::string_view, Operation> kSigns[] = {
      {"==", Operation::equal},      {"!=", Operation::not_equal}, {"<", Operation::less},
      {"<=", Operation::less_equal}, {">", Operation::greater},    {">=", Operation::greater_equal},
  };
  const int line = tokens_.current().line;
  ExpressionPtr first = parse_sum();
  auto node = std::make_unique<Comparison>();
  for (;;) {
    std::optional<Operation> operation;
    for (const auto& [sign, meaning] : kSigns)
      if (!operation && tokens_.skip_sign(sign)) operation = meaning;
    if (!operation && tokens_.skip_name("in")) operation = Operation::in;
    if (!operation && tokens_.at_name("not") && tokens_.ahead().is(Kind::name, "in")) {
      tokens_.next();
      tokens_.next();
      operation = Operation::not_in;
    }
    if (!operation) break;
    node->rest.emplace_back(*operation, parse_sum());
    node->height = std::max(node->height, node->rest.back().second->height + 1);
  }
  if (node->rest.empty()) return first;
  node->first = std::move(first);
  const Expression* child = node->first.get();
  return finish(std::move(node), line, {child});
}

ExpressionPtr ExpressionParser::parse_sum() {
  const int line = tokens_.current().line;
  ExpressionPtr left = parse_concatenation();
  while (tokens_.at_sign("+") || tokens_.at_sign("-")) {
    auto node = std::make_unique<Binary>();
    node->operation = tokens_.next().text == "+" ? Arithmetic::add : Arithmetic::subtract;
    node->left = std::move(left);
    node->right = parse_concatenation();
    const auto children = {node->left.get(), node->right.get()};
    left = finish(std::move(node), line, children);
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_concatenation() {
  const int line = tokens_.current().line;
  ExpressionPtr first = parse_product();
  if (!tokens_.at_sign("~")) return first;
  auto node = std::make_unique<Concatenation>();
  node->parts.push_back(std::move(first));
  while (tokens_.skip_sign("~")) node->parts.push_back(parse_product());
  node->height = height_of(node->parts) + 1;
  return finish(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::parse_product() {
  constexpr std::pair<std::string_view, Arithmetic> kSigns[] = {
      {"*", Arithmetic::multiply},
      {"/", Arithmetic::divide},
      {"//", Arithmetic::floor_divide},
      {"%", Arithmetic::modulo},
  };
  const int line = tokens_.current().line;
  ExpressionPtr left = parse_power();
  for (;;) {
    const auto* found =
        std::find_if(std::begin(kSigns), std::end(kSigns),
                     [this](const auto& each) { return tokens_.at_sign(each.first); });
    if (found == std::end(kSigns)) return left;
    tokens_.next();
    auto node = std::make_unique<Binary>();
    node->operation = found->second;
    node->left = std::move(left);
    node->right = parse_power();
    const auto children = {node->left.get(), node->right.get()};
    left = finish(std::move(node), line, children);
  }
}

// From left to right, as in Jinja; in Python powers go from right to left.
ExpressionPtr ExpressionParser::parse_power() {
  const int line = tokens_.current().line;
  ExpressionPtr left = parse_unary();
  while (tokens_.skip_sign("**")) {
    auto node = std::make_unique<Binary>();
    node->operation = Arithmetic::power;
    node->left = std::move(left);
    node->right = parse_unary();
    const auto children = {node->left.get(), node->right.get()};
    left = finish(std::move(node), line, children);
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_unary(bool with_filters) {
  const Nesting nesting(tokens_);
  const int line = tokens_.current().line;
  ExpressionPtr value;
  if (tokens_.at_sign("-") || tokens_.at_sign("+")) {
    auto node = std::make_unique<Unary>();
    node->operation =
        tokens_.next().text == "-" ? Unary::Operation::negative : Unary::Operation::positive;
    node->operand = parse_unary(false);
    const Expression* child = node->operand.get();
    value = finish(std::move(node), line, {child});
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters_and_tests(std::move(value)) : std::move(value);
}

int ExpressionParser::height_of(const std::vector<ExpressionPtr>& children) {
  int height = 0;
  for (const ExpressionPtr& each : children) height = std::max(height, each->height);
  return height;
}

}  // namespace krait::jinja
