// Operands: literals, and what stands behind them (attributes, calls, filters, tests).
#include <charconv>
#include <cstdlib>

#include "src/template/expression_parser.h"

namespace krait::jinja {
namespace {

using Kind = Token::Kind;

}  // namespace

ExpressionPtr ExpressionParser::literal(Value value, int line) const {
  auto node = std::make_unique<Literal>();
  node->value = std::move(value);
  return finish(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::parse_primary() {
  const int line = tokens_.current().line;
  if (tokens_.at(Kind::name)) {
    const std::string name = tokens_.next().text;
    if (name == "true" || name == "True") return literal(Value::boolean(true), line);
    if (name == "false" || name == "False") return literal(Value::boolean(false), line);
    if (name == "none" || name == "None") return literal(Value(), line);
    auto node = std::make_unique<Name>();
    node->name = name;
    return finish(std::move(node), line, {});
  }
  if (tokens_.at(Kind::string)) {
    std::string text;
    while (tokens_.at(Kind::string)) text += tokens_.next().text;
    return literal(Value(Value::Data(std::make_shared<const std::string>(std::move(text)))), line);
  }
  if (tokens_.at(Kind::integer) || tokens_.at(Kind::real)) return parse_number();
  if (tokens_.skip_sign("(")) {
    if (tokens_.skip_sign(")")) {
      auto empty = std::make_unique<Sequence>();
      empty->is_tuple = true;
      return finish(std::move(empty), line, {});
    }
    ExpressionPtr inner = parse_tuple();
    tokens_.expect_sign(")");
    return inner;
  }
  if (tokens_.at_sign("[")) return parse_list();
  if (tokens_.at_sign("{")) return parse_dict();
  tokens_.fail("found " + describe(tokens_.current()) + "; expected an expression");
}

ExpressionPtr ExpressionParser::parse_number() {
  const Token& token = tokens_.current();
  const char* begin = token.text.data();
  const char* end = begin + token.text.size();
  Value value;
  if (token.kind == Kind::integer) {
    int64_t number = 0;
    if (std::from_chars(begin, end, number, token.base).ec != std::errc())
      tokens_.fail("the integer " + token.text + " has more than 64 bits");
    value = Value::integer(number);
  } else {
    value = Value::real(std::strtod(token.text.c_str(), nullptr));
  }
  return literal(std::move(value), tokens_.next().line);
}

bool ExpressionParser::at_tuple_end(std::string_view end) const {
  return tokens_.at(Kind::output_end) || tokens_.at(Kind::statement_end) || tokens_.at_sign(")") ||
         (!end.empty() && tokens_.at_name(end));
}

ExpressionPtr ExpressionParser::parse_tuple(bool with_if, std::string_view end) {
  const int line = tokens_.current().line;
  ExpressionPtr first = with_if ? parse() : parse_without_if();
  if (!tokens_.at_sign(",")) return first;
  auto node = std::make_unique<Sequence>();
  node->is_tuple = true;
  node->items.push_back(std::move(first));
  while (tokens_.skip_sign(",") && !at_tuple_end(end))
    node->items.push_back(with_if ? parse() : parse_without_if());
  node->height = height_of(node->items) + 1;
  return finish(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::parse_list() {
  const int line = tokens_.next().line;
  auto node = std::make_unique<Sequence>();
  while (!tokens_.at_sign("]")) {
    node->items.push_back(parse());
    if (!tokens_.skip_sign(",")) break;
  }
  tokens_.expect_sign("]");
  node->height = height_of(node->items) + 1;
  return finish(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::parse_dict() {
  const int line = tokens_.next().line;
  auto node = std::make_unique<DictLiteral>();
  while (!tokens_.at_sign("}")) {
    ExpressionPtr key = parse();
    tokens_.expect_sign(":");
    node->items.emplace_back(std::move(key), parse());
    const auto& [made, value] = node->items.back();
    node->height = std::max({node->height, made->height + 1, value->height + 1});
    if (!tokens_.skip_sign(",")) break;
  }
  tokens_.expect_sign("}");
  return finish(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr value) {
  for (;;) {
    if (tokens_.at_sign("."))
      value = parse_attribute(std::move(value));
    else if (tokens_.at_sign("["))
      value = parse_subscript(std::move(value));
    else if (tokens_.at_sign("("))
      value = parse_call(std::move(value));
    else
      return value;
  }
}

ExpressionPtr ExpressionParser::parse_filters_and_tests(ExpressionPtr value) {
  for (;;) {
    const int line = tokens_.current().line;
    if (tokens_.skip_sign("|"))
      value = parse_filter(std::move(value), line);
    else if (tokens_.skip_name("is"))
      value = parse_test(std::move(value));
    else if (tokens_.at_sign("("))
      value = parse_call(std::move(value));
    else
      return value;
  }
}

ExpressionPtr ExpressionParser::parse_attribute(ExpressionPtr value) {
  const int line = tokens_.next().line;
  const Expression* child = value.get();
  if (tokens_.at(Kind::integer)) {  // a.0 is a[0]
    auto node = std::make_unique<Subscript>();
    node->key = parse_number();
    node->value = std::move(value);
    return finish(std::move(node), line, {child});
  }
  auto node = std::make_unique<Attribute>();
  node->name = tokens_.expect(Kind::name, "the name of an attribute").text;
  node->value = std::move(value);
  return finish(std::move(node), line, {child});
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr value) {
  const int line = tokens_.next().line;
  ExpressionPtr node = parse_key(std::move(value), line);
  tokens_.expect_sign("]");
  return node;
}

ExpressionPtr ExpressionParser::parse_key(ExpressionPtr value, int line) {
  ExpressionPtr first;
  if (!tokens_.at_sign(":")) {
    first = parse();
    if (!tokens_.at_sign(":")) {
      auto node = std::make_unique<Subscript>();
      node->value = std::move(value);
      node->key = std::move(first);
      const auto children = {node->value.get(), node->key.get()};
      return finish(std::move(node), line, children);
    }
  }
  auto node = std::make_unique<Slice>();
  node->value = std::move(value);
  node->start = std::move(first);
  tokens_.expect_sign(":");
  if (!tokens_.at_sign("]") && !tokens_.at_sign(":")) node->stop = parse();
  if (tokens_.skip_sign(":") && !tokens_.at_sign("]")) node->step = parse();
  const auto children = {node->value.get(), node->start.get(), node->stop.get(), node->step.get()};
  return finish(std::move(node), line, children);
}

ExpressionPtr ExpressionParser::parse_call(ExpressionPtr callee) {
  const int line = tokens_.current().line;
  auto node = std::make_unique<Call>();
  node->callee = std::move(callee);
  node->arguments = parse_arguments();
  const Call& call = *node;
  return finish(std::move(node), line, call.arguments, call.callee.get());
}

ArgumentList ExpressionParser::parse_arguments() {
  ArgumentList list;
  tokens_.expect_sign("(");
  while (!tokens_.at_sign(")")) {
    const bool is_named = tokens_.at(Kind::name) && tokens_.ahead().is(Kind::sign, "=");
    if (tokens_.skip_sign("**")) {
      if (list.more_named) tokens_.fail("found a second '**' among the arguments");
      list.more_named = parse();
    } else if (tokens_.at_sign("*") && !list.more_positional && !list.more_named) {
      tokens_.next();
      list.more_positional = parse();
    } else if (is_named && !list.more_named) {
      std::string name = tokens_.next().text;
      tokens_.expect_sign("=");
      list.named.emplace_back(std::move(name), parse());
    } else if (list.named.empty() && !list.more_positional && !list.more_named) {
      list.positional.push_back(parse());
    } else {
      tokens_.fail("found " + describe(tokens_.current()) + "; expected a named argument");
    }
    if (!tokens_.skip_sign(",")) break;
  }
  tokens_.expect_sign(")");
  return list;
}

std::unique_ptr<FilterCall> ExpressionParser::parse_filter(ExpressionPtr input, int line) {
  auto node = std::make_unique<FilterCall>();
  node->name = tokens_.expect(Kind::name, "the name of a filter").text;
  node->input = std::move(input);
  if (tokens_.at_sign("(")) node->arguments = parse_arguments();
  const FilterCall& call = *node;
  return finish(std::move(node), line, call.arguments, call.input.get());
}

std::unique_ptr<FilterCall> ExpressionParser::parse_filter_chain() {
  auto chain = parse_filter(nullptr, tokens_.current().line);
  for (int line = tokens_.current().line; tokens_.skip_sign("|"); line = tokens_.current().line)
    chain = parse_filter(std::move(chain), line);
  return chain;
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr value) {
  const int line = tokens_.current().line;
  auto node = std::make_unique<TestCall>();
  node->is_negated = tokens_.skip_name("not");
  node->name = tokens_.expect(Kind::name, "the name of a test").text;
  node->input = std::move(value);
  const bool at_operator =
      tokens_.at_name("else") || tokens_.at_name("or") || tokens_.at_name("and");
  const bool at_operand = tokens_.at(Kind::name) || tokens_.at(Kind::string) ||
                          tokens_.at(Kind::integer) || tokens_.at(Kind::real) ||
                          tokens_.at_sign("[") || tokens_.at_sign("{");
  if (tokens_.at_sign("(")) {
    node->arguments = parse_arguments();
  } else if (at_operand && !at_operator) {
    if (tokens_.at_name("is")) tokens_.fail("tests cannot be chained with 'is'");
    node->arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  const TestCall& test = *node;
  return finish(std::move(node), line, test.arguments, test.input.get());
}

}  // namespace krait::jinja
