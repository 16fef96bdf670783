// The statements of a template, as a tree that executes itself. Immutable once parsed.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/template/expression.h"

namespace krait::jinja {

// How a statement ended: `break` and `continue` travel outwards to their loop.
enum class Flow { next, leave_loop, next_round };

class Statement {
 public:
  virtual ~Statement() = default;

  // Counts as a step and a level of nesting.
  Flow execute(Frame& frame) const;

  int line = 0;

 protected:
  virtual Flow perform(Frame& frame) const = 0;
};

using StatementPtr = std::unique_ptr<const Statement>;
using Body = std::vector<StatementPtr>;

Flow execute(const Body& body, Frame& frame);

// What an assignment fills: a name, `namespace.name`, or a tuple of those.
struct Target {
  std::string name;
  std::string attribute;      // of the namespace `name`; empty: the name itself
  std::vector<Target> parts;  // of a tuple; then there is no name
  bool is_tuple = false;

  void assign(Frame& frame, const Value& value) const;
};

// The parameters of a macro or a call block.
struct Signature {
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  // with default, or null
};

struct Text final : Statement {
  std::string text;
  Flow perform(Frame& frame) const override;
};

struct Output final : Statement {
  ExpressionPtr value;
  Flow perform(Frame& frame) const override;
};

struct If final : Statement {
  std::vector<std::pair<ExpressionPtr, Body>> branches;  // if, elif ...
  Body otherwise;
  Flow perform(Frame& frame) const override;
};

struct For final : Statement {
  Target target;
  ExpressionPtr sequence;
  ExpressionPtr filter;  // null: takes every item
  Body body, otherwise;
  Flow perform(Frame& frame) const override;
};

struct Jump final : Statement {
  Flow flow;
  Flow perform(Frame& frame) const override;
};

struct Set final : Statement {
  Target target;
  ExpressionPtr value;
  Flow perform(Frame& frame) const override;
};

// {% set x | filter %}...{% endset %}
struct SetBlock final : Statement {
  Target target;
  std::unique_ptr<const FilterCall> filter;  // or null
  Body body;
  Flow perform(Frame& frame) const override;
};

struct FilterBlock final : Statement {
  std::unique_ptr<const FilterCall> filter;
  Body body;
  Flow perform(Frame& frame) const override;
};

// {% with a = 1, b = 2 %}; without assignments, the `generation` block: a scope of its own.
struct With final : Statement {
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Body body;
  Flow perform(Frame& frame) const override;
};

struct Macro final : Statement {
  std::string name;
  Signature signature;
  Body body;
  Flow perform(Frame& frame) const override;
};

// {% call(parameters) macro(...) %}...{% endcall %}: the macro can call its body as `caller`.
struct CallBlock final : Statement {
  std::unique_ptr<const Call> call;
  Signature signature;
  Body body;
  Flow perform(Frame& frame) const override;
};

}  // namespace krait::jinja
