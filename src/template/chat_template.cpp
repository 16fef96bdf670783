#include "krait/chat_template.h"

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/base/utf8.h"
#include "src/template/json_text.h"
#include "src/template/parser.h"
#include "src/template/run.h"
#include "src/template/statement.h"

namespace krait {

struct ChatTemplate::Parsed {
  std::string name;
  TemplateLimits limits;
  jinja::Body body;
};

ChatTemplate::ChatTemplate(std::string_view source, std::string name,
                           const TemplateLimits& limits) {
  if (source.size() > limits.source_bytes)
    throw InputError(name + ": the template has " + std::to_string(source.size()) +
                     " bytes; expected at most " + std::to_string(limits.source_bytes));
  if (!is_valid_utf8(source)) throw InputError(name + ": the template is not valid UTF-8");
  jinja::Body body = jinja::parse(source, name);
  parsed_ = std::make_unique<const Parsed>(Parsed{std::move(name), limits, std::move(body)});
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const nlohmann::ordered_json& variables,
                                 const std::tm& now) const {
  if (!variables.is_object())
    throw InputError(parsed_->name + ": the variables are of type " + variables.type_name() +
                     "; expected an object");
  jinja::Run run(parsed_->name, parsed_->limits, now);
  std::string out;
  // The variables lie in a scope around that of the template, which may set the same names.
  const auto given = std::make_shared<jinja::Scope>();
  for (const auto& [name, value] : variables.items())
    given->variables.emplace(repair_utf8(name), jinja::from_json(run, value));
  jinja::Frame frame{run, given, out};
  jinja::Frame inner = frame.inner();
  jinja::execute(parsed_->body, inner);
  return out;
}

}  // namespace krait
