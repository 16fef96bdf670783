// The expressions of a template, as a tree that evaluates itself. Immutable once parsed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/template/arguments.h"
#include "src/template/operators.h"
#include "src/template/scope.h"
#include "src/template/value.h"

namespace krait::jinja {

class Expression {
 public:
  virtual ~Expression() = default;

  // Counts as a step and a level of nesting.
  Value evaluate(Frame& frame) const;

  int line = 0;
  int height = 1;  // of the tree below, this included; limited by the parser

 protected:
  virtual Value compute(Frame& frame) const = 0;
};

using ExpressionPtr = std::unique_ptr<const Expression>;

// The arguments of a call, a filter or a test.
struct ArgumentList {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional;  // *list
  ExpressionPtr more_named;       // **dict

  Arguments evaluate(Frame& frame) const;
};

struct Literal final : Expression {
  Value value;
  Value compute(Frame& frame) const override;
};

struct Name final : Expression {
  std::string name;
  Value compute(Frame& frame) const override;
};

struct Sequence final : Expression {
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;
  Value compute(Frame& frame) const override;
};

struct DictLiteral final : Expression {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
  Value compute(Frame& frame) const override;
};

struct Unary final : Expression {
  enum class Operation { negative, positive, logical_not } operation;
  ExpressionPtr operand;
  Value compute(Frame& frame) const override;
};

struct Binary final : Expression {
  Arithmetic operation;
  ExpressionPtr left, right;
  Value compute(Frame& frame) const override;
};

// and, or: the operand that decides.
struct Logical final : Expression {
  bool is_and;
  std::vector<ExpressionPtr> operands;
  Value compute(Frame& frame) const override;
};

// a < b <= c ...: each pair must hold; the rest is not evaluated after one that does not.
struct Comparison final : Expression {
  enum class Operation { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };
  ExpressionPtr first;
  std::vector<std::pair<Operation, ExpressionPtr>> rest;
  Value compute(Frame& frame) const override;
};

// a ~ b ~ c: the texts joined.
struct Concatenation final : Expression {
  std::vector<ExpressionPtr> parts;
  Value compute(Frame& frame) const override;
};

struct Conditional final : Expression {
  ExpressionPtr condition, then;
  ExpressionPtr otherwise;  // null: undefined
  Value compute(Frame& frame) const override;
};

struct Attribute final : Expression {
  ExpressionPtr value;
  std::string name;
  Value compute(Frame& frame) const override;
};

struct Subscript final : Expression {
  ExpressionPtr value, key;
  Value compute(Frame& frame) const override;
};

struct Slice final : Expression {
  ExpressionPtr value;
  ExpressionPtr start, stop, step;  // null where left out
  Value compute(Frame& frame) const override;
};

struct Call final : Expression {
  ExpressionPtr callee;
  ArgumentList arguments;
  Value compute(Frame& frame) const override;

  // The call with one more named argument.
  Value compute_with(Frame& frame, std::string name, Value value) const;
};

struct FilterCall final : Expression {
  ExpressionPtr input;  // null in a filter block: its text
  std::string name;
  ArgumentList arguments;
  Value compute(Frame& frame) const override;

  // Applies the chain of filters, at whose start there is no input, to a block's text.
  Value apply_to(Frame& frame, Value text) const;
};

struct TestCall final : Expression {
  ExpressionPtr input;
  std::string name;
  ArgumentList arguments;
  bool is_negated = false;
  Value compute(Frame& frame) const override;
};

}  // namespace krait::jinja
