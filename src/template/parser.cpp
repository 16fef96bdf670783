#include "src/template/parser.h"

#include <algorithm>
#include <utility>

#include "src/template/expression_parser.h"
#include "src/template/token_stream.h"

namespace krait::jinja {
namespace {

using Kind = Token::Kind;
using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  explicit Parser(TokenStream& tokens) : tokens_(tokens), expressions_(tokens) {}

  Body parse_template() { return parse_body({}); }

 private:
  using NewStatement = std::unique_ptr<Statement>;
  using Rule = NewStatement (Parser::*)();

  // Up to a statement named as one of `ends`, of which the tag is open then; without ends, up to
  // the end of the template.
  Body parse_body(Names ends) {
    const Nesting nesting(tokens_);
    const int begin = tag_line_;
    Body body;
    for (;;) {
      const int line = tokens_.current().line;
      if (tokens_.at(Kind::text)) {
        auto node = std::make_unique<Text>();
        node->text = tokens_.next().text;
        body.push_back(at_line(std::move(node), line));
      } else if (tokens_.at(Kind::output_begin)) {
        tokens_.next();
        auto node = std::make_unique<Output>();
        node->value = expressions_.parse_tuple();
        tokens_.expect(Kind::output_end, "'}}'");
        body.push_back(at_line(std::move(node), line));
      } else if (tokens_.at(Kind::statement_begin)) {
        tokens_.next();
        const auto is_here = [this](std::string_view name) { return tokens_.at_name(name); };
        if (std::any_of(ends.begin(), ends.end(), is_here)) return body;
        body.push_back(parse_statement(line));
      } else if (ends.size() == 0) {
        return body;
      } else {
        tokens_.fail("found the end of the template; expected '" + std::string(*(ends.end() - 1)) +
                     "' for the block that begins in line " + std::to_string(begin));
      }
    }
  }

  // The body of a block: from the end of its opening tag to past its closing tag.
  Body parse_block(std::string_view end) {
    end_tag();
    Body body = parse_body({end});
    tokens_.next();
    end_tag();
    return body;
  }

  void end_tag() { tag_line_ = tokens_.expect(Kind::statement_end, "'%}'").line; }

  static StatementPtr at_line(std::unique_ptr<Statement> node, int line) {
    node->line = line;
    return node;
  }

  StatementPtr parse_statement(int line) {
    static constexpr std::pair<std::string_view, Rule> kRules[] = {
        {"if", &Parser::parse_if},         {"for", &Parser::parse_for},
        {"set", &Parser::parse_set},       {"break", &Parser::parse_jump},
        {"continue", &Parser::parse_jump}, {"with", &Parser::parse_with},
        {"macro", &Parser::parse_macro},   {"call", &Parser::parse_call_block},
        {"filter", &Parser::parse_filter}, {"generation", &Parser::parse_generation},
    };
    for (const auto& [name, rule] : kRules) {
      if (!tokens_.at_name(name)) continue;
      auto node = (this->*rule)();
      return at_line(std::move(node), line);
    }
    tokens_.fail("found " + describe(tokens_.current()) +
                 "; expected a statement (if, for, set, break, continue, with, macro, call, "
                 "filter, generation, raw)");
  }

  NewStatement parse_if() {
    auto node = std::make_unique<If>();
    while (tokens_.skip_name("if") || tokens_.skip_name("elif")) {
      ExpressionPtr condition = expressions_.parse_tuple(false);
      end_tag();
      node->branches.emplace_back(std::move(condition), parse_body({"elif", "else", "endif"}));
    }
    if (tokens_.skip_name("else")) {
      node->otherwise = parse_block("endif");
    } else {
      tokens_.next();
      end_tag();
    }
    return node;
  }

  NewStatement parse_for() {
    tokens_.next();
    auto node = std::make_unique<For>();
    node->target = parse_target("in");
    tokens_.expect_name("in");
    node->sequence = expressions_.parse_tuple(false, "recursive");
    if (tokens_.skip_name("if")) node->filter = expressions_.parse();
    if (tokens_.at_name("recursive")) tokens_.fail("recursive loops are not supported");
    end_tag();
    ++loops_;
    node->body = parse_body({"else", "endfor"});
    --loops_;
    if (tokens_.skip_name("else")) {
      node->otherwise = parse_block("endfor");
    } else {
      tokens_.next();
      end_tag();
    }
    return node;
  }

  NewStatement parse_jump() {
    if (loops_ == 0) tokens_.fail("'" + tokens_.current().text + "' outside of a loop");
    auto node = std::make_unique<Jump>();
    node->flow = tokens_.next().text == "break" ? Flow::leave_loop : Flow::next_round;
    end_tag();
    return node;
  }

  NewStatement parse_set() {
    tokens_.next();
    Target target = parse_target("");
    if (tokens_.skip_sign("=")) {
      auto node = std::make_unique<Set>();
      node->target = std::move(target);
      node->value = expressions_.parse_tuple();
      end_tag();
      return node;
    }
    auto node = std::make_unique<SetBlock>();
    node->target = std::move(target);
    if (tokens_.skip_sign("|")) node->filter = expressions_.parse_filter_chain();
    node->body = parse_block("endset");
    return node;
  }

  NewStatement parse_with() {
    tokens_.next();
    auto node = std::make_unique<With>();
    while (!tokens_.at(Kind::statement_end)) {
      if (!node->assignments.empty()) tokens_.expect_sign(",");
      Target target = parse_target_item();
      tokens_.expect_sign("=");
      node->assignments.emplace_back(std::move(target), expressions_.parse());
    }
    node->body = parse_block("endwith");
    return node;
  }

  // What the model is trained to write: a mark for training, which otherwise changes nothing.
  NewStatement parse_generation() {
    tokens_.next();
    auto node = std::make_unique<With>();
    node->body = parse_block("endgeneration");
    return node;
  }

  NewStatement parse_macro() {
    tokens_.next();
    auto node = std::make_unique<Macro>();
    node->name = parse_name();
    node->signature = parse_signature();
    node->body = parse_function_body("endmacro");
    return node;
  }

  NewStatement parse_call_block() {
    tokens_.next();
    auto node = std::make_unique<CallBlock>();
    if (tokens_.at_sign("(")) node->signature = parse_signature();
    ExpressionPtr called = expressions_.parse();
    if (dynamic_cast<const Call*>(called.get()) == nullptr)
      tokens_.fail("found another expression; expected the call of a macro");
    node->call.reset(static_cast<const Call*>(called.release()));
    node->body = parse_function_body("endcall");
    return node;
  }

  NewStatement parse_filter() {
    tokens_.next();
    auto node = std::make_unique<FilterBlock>();
    node->filter = expressions_.parse_filter_chain();
    node->body = parse_block("endfilter");
    return node;
  }

  // A loop around the definition is none for its body.
  Body parse_function_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Body body = parse_block(end);
    loops_ = loops;
    return body;
  }

  Signature parse_signature() {
    Signature signature;
    tokens_.expect_sign("(");
    while (!tokens_.at_sign(")")) {
      std::string name = parse_name();
      ExpressionPtr fallback;
      if (tokens_.skip_sign("="))
        fallback = expressions_.parse();
      else if (!signature.parameters.empty() && signature.parameters.back().second)
        tokens_.fail("parameter '" + name + "' has no default, but the one before it has");
      signature.parameters.emplace_back(std::move(name), std::move(fallback));
      if (!tokens_.skip_sign(",")) break;
    }
    tokens_.expect_sign(")");
    return signature;
  }

  std::string parse_name() {
    constexpr std::string_view kReserved[] = {"true", "True", "false", "False", "none", "None"};
    for (const std::string_view name : kReserved)
      if (tokens_.at_name(name)) tokens_.fail("cannot assign to '" + std::string(name) + "'");
    return tokens_.expect(Kind::name, "a name").text;
  }

  // Names with commas between them are a tuple; `end` ends it, too.
  Target parse_target(std::string_view end) {
    Target first = parse_target_item();
    if (!tokens_.at_sign(",")) return first;
    Target tuple;
    tuple.is_tuple = true;
    tuple.parts.push_back(std::move(first));
    while (tokens_.skip_sign(",") && !tokens_.at_name(end) &&
           (tokens_.at(Kind::name) || tokens_.at_sign("(")))
      tuple.parts.push_back(parse_target_item());
    return tuple;
  }

  Target parse_target_item() {
    const Nesting nesting(tokens_);
    if (tokens_.skip_sign("(")) {
      Target inner = parse_target("");
      tokens_.expect_sign(")");
      return inner;
    }
    Target target;
    target.name = parse_name();
    if (tokens_.skip_sign("."))
      target.attribute = tokens_.expect(Kind::name, "the name of an attribute").text;
    return target;
  }

  TokenStream& tokens_;
  ExpressionParser expressions_;
  int tag_line_ = 1;  // of the latest statement's end
  int loops_ = 0;     // around this place, within the same macro
};

}  // namespace

Body parse(std::string_view source, const std::string& name) {
  TokenStream tokens(tokenize(source, name), name);
  return Parser(tokens).parse_template();
}

}  // namespace krait::jinja
