#include "src/template/statement.h"

#include "src/template/objects.h"
#include "src/template/python_text.h"

namespace krait::jinja {
namespace {

std::string render(const Body& body, Frame& frame) {
  std::string text;
  Frame inner = frame.inner(text);
  execute(body, inner);
  return text;
}

// Gives the parameters their values in the scope of the frame. What is left over is bound to
// `varargs` and `kwargs` where the body has a use for them, and is an error where it has none.
void bind_parameters(const Signature& signature, const std::string& name,
                     const Arguments& arguments, Frame& frame) {
  Run& run = frame.run;
  const auto& parameters = signature.parameters;
  auto& variables = frame.scope->variables;
  if (arguments.positional.size() > parameters.size())
    run.fail("macro '" + name + "' takes at most " + std::to_string(parameters.size()) +
             " arguments; found " + std::to_string(arguments.positional.size()));
  for (const auto& [given, value] : arguments.named) {
    size_t place = 0;
    while (place < parameters.size() && parameters[place].first != given) ++place;
    if (place == parameters.size() && given != "caller")
      run.fail("macro '" + name + "' has no argument '" + given + "'");
    if (place < arguments.positional.size())
      run.fail("macro '" + name + "': argument '" + given + "' is given twice");
    variables.insert_or_assign(given, value);
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [parameter, fallback] = parameters[i];
    if (i < arguments.positional.size())
      variables.insert_or_assign(parameter, arguments.positional[i]);
    else if (!arguments.find(parameter))
      variables.insert_or_assign(
          parameter, fallback ? fallback->evaluate(frame)
                              : Value::undefined("parameter '" + parameter + "' was not provided"));
  }
}

// A macro as a value. It sees the scope it was defined in. The parsed template outlives its runs,
// so the parts of it may be held by reference.
Value macro_value(Frame& frame, const std::string& name, const Signature& signature,
                  const Body& body) {
  frame.run.keep(frame.scope);
  return frame.run.function(
      name, [scope = frame.scope, &name, &signature, &body](Run& run, const Arguments& arguments) {
        std::string text;
        const CallDepth depth(run);
        Frame inner{run, std::make_shared<Scope>(Scope{scope, {}, false}), text};
        inner.scope->variables.emplace("caller", Value::undefined("'caller' is undefined"));
        bind_parameters(signature, name, arguments, inner);
        execute(body, inner);
        return run.string(std::move(text));
      });
}

}  // namespace

Flow Statement::execute(Frame& frame) const {
  frame.run.line = line;
  frame.run.step();
  const CallDepth depth(frame.run);
  return perform(frame);
}

Flow execute(const Body& body, Frame& frame) {
  for (const StatementPtr& statement : body)
    if (const Flow flow = statement->execute(frame); flow != Flow::next) return flow;
  return Flow::next;
}

void Target::assign(Frame& frame, const Value& value) const {
  if (is_tuple) {
    const std::vector<Value> values = items_of(frame.run, value);
    if (values.size() != parts.size())
      frame.run.fail("cannot unpack " + std::to_string(values.size()) + " values; expected " +
                     std::to_string(parts.size()));
    for (size_t i = 0; i < parts.size(); ++i) parts[i].assign(frame, values[i]);
    return;
  }
  if (attribute.empty()) {
    frame.run.charge(name.size());
    frame.scope->variables.insert_or_assign(name, value);
    return;
  }
  const Value* owner = frame.scope->find(name);
  auto* made = owner ? dynamic_cast<Namespace*>(owner->object()) : nullptr;
  if (made == nullptr)
    frame.run.fail("cannot set " + name + "." + attribute + ": '" + name + "' is " +
                   (owner ? "of type " + std::string(owner->type_name()) : "undefined") +
                   "; expected a namespace");
  frame.run.charge(attribute.size());
  made->set(attribute, value);
}

Flow Text::perform(Frame& frame) const {
  frame.run.write(text, frame.out);
  return Flow::next;
}

Flow Output::perform(Frame& frame) const {
  const Value result = value->evaluate(frame);
  if (result.string())
    frame.run.write(*result.string(), frame.out);
  else
    frame.run.write(text_of(frame.run, result), frame.out);
  return Flow::next;
}

Flow If::perform(Frame& frame) const {
  for (const auto& [condition, body] : branches)
    if (condition->evaluate(frame).truth()) return jinja::execute(body, frame);
  return jinja::execute(otherwise, frame);
}

Flow For::perform(Frame& frame) const {
  std::vector<Value> items = items_of(frame.run, sequence->evaluate(frame));
  if (filter) {
    std::vector<Value> taken;
    for (Value& item : items) {
      Frame round = frame.inner();
      target.assign(round, item);
      if (filter->evaluate(round).truth()) taken.push_back(std::move(item));
    }
    items = std::move(taken);
  }
  if (items.empty()) {
    Frame inner = frame.inner();
    return jinja::execute(otherwise, inner);
  }
  const auto loop = std::make_shared<Loop>(std::move(items));
  const Value loop_value = frame.run.object(loop);
  for (size_t i = 0; i < loop->items().size(); ++i) {
    frame.run.step();
    loop->advance_to(i);
    Frame round = frame.inner();
    round.scope->variables.emplace("loop", loop_value);
    target.assign(round, loop->items()[i]);
    if (jinja::execute(body, round) == Flow::leave_loop) break;
  }
  return Flow::next;
}

Flow Jump::perform(Frame&) const { return flow; }

Flow Set::perform(Frame& frame) const {
  target.assign(frame, value->evaluate(frame));
  return Flow::next;
}

Flow SetBlock::perform(Frame& frame) const {
  Value text = frame.run.string(render(body, frame));
  target.assign(frame, filter ? filter->apply_to(frame, std::move(text)) : std::move(text));
  return Flow::next;
}

Flow FilterBlock::perform(Frame& frame) const {
  const Value result = filter->apply_to(frame, frame.run.string(render(body, frame)));
  frame.run.write(text_of(frame.run, result), frame.out);
  return Flow::next;
}

Flow With::perform(Frame& frame) const {
  Frame inner = frame.inner();
  // Each value is evaluated outside: one assignment does not see the others.
  for (const auto& [target, value] : assignments) target.assign(inner, value->evaluate(frame));
  return jinja::execute(body, inner);
}

Flow Macro::perform(Frame& frame) const {
  frame.scope->variables.insert_or_assign(name, macro_value(frame, name, signature, body));
  return Flow::next;
}

Flow CallBlock::perform(Frame& frame) const {
  static const std::string kName = "caller";
  Value caller = macro_value(frame, kName, signature, body);
  const Value result = call->compute_with(frame, kName, std::move(caller));
  frame.run.write(text_of(frame.run, result), frame.out);
  return Flow::next;
}

}  // namespace krait::jinja
