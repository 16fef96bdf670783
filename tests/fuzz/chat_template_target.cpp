#include <nlohmann/json.hpp>

#include "krait/chat_template.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

nlohmann::ordered_json conversation() {
  return nlohmann::ordered_json::parse(R"({
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "What is 2 + 2? <é>"},
      {"role": "assistant", "content": "", "tool_calls": [{"id": "call_123", "type": "function",
        "function": {"name": "add", "arguments": {"a": 2, "b": 2.5}}}]},
      {"role": "tool", "content": "4", "tool_call_id": "call_123", "name": "add"},
      {"role": "user", "content": [{"type": "text", "text": "Thanks"}]}],
    "tools": [{"type": "function", "function": {"name": "add", "description": "Adds",
      "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "n": 3})");
}

void run(std::string_view input) {
  TemplateLimits limits;
  limits.steps = 50'000;
  limits.value_bytes = 8 << 20;
  limits.output_bytes = 1 << 20;
  static const nlohmann::ordered_json kVariables = conversation();
  std::tm now{};
  now.tm_year = 126;
  now.tm_mday = 2;
  ChatTemplate(input, "input", limits).render(kVariables, now);
}

const Registration kTarget({"chat_template", run});

}  // namespace
}  // namespace krait::fuzz
