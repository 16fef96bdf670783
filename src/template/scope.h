// Where names are looked up.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "src/template/value.h"

namespace krait::jinja {

class Run;

// Assignments go to the innermost scope and end with it; names are sought outwards.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::map<std::string, Value, std::less<>> variables;
  bool is_kept = false;  // by its Run

  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get())
      if (const auto found = scope->variables.find(name); found != scope->variables.end())
        return &found->second;
    return nullptr;
  }
};

// Where a part of a template is rendered: its names, and the text it adds to.
struct Frame {
  Run& run;
  std::shared_ptr<Scope> scope;
  std::string& out;

  // The same in a scope of its own; and with a text of its own.
  Frame inner() const { return inner(out); }
  Frame inner(std::string& text) const {
    return {run, std::make_shared<Scope>(Scope{scope, {}, false}), text};
  }
};

}  // namespace krait::jinja
