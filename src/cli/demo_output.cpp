#include "src/cli/demo_output.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "src/cli/command.h"

namespace krait::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kColumns = 78;

std::string repeated(std::string_view text, int64_t count) {
  std::string out;
  for (int64_t i = 0; i < count; ++i) out += text;
  return out;
}

// Words of `text` in lines of kColumns, each behind `indent`; its own line breaks stay.
std::string wrapped(std::string_view text, std::string_view indent = "") {
  std::string out, line;
  const auto end_line = [&] {
    out += (line.empty() ? "" : std::string(indent) + line) + "\n";
    line.clear();
  };
  while (text.ends_with('\n')) text.remove_suffix(1);
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const std::string word(text.substr(at, end - at));
    const int64_t columns = std::ssize(indent) + std::ssize(line) + 1 + std::ssize(word);
    if (!line.empty() && columns > kColumns) end_line();
    if (!word.empty()) line += (line.empty() ? "" : " ") + word;
    if (end == text.size() || text[end] == '\n') end_line();
    at = end + 1;
  }
  return out;
}

std::string share_text(const RecallResult& result) {
  return fmt::format("{:.1f} %", 100 * result.accuracy());
}

// "537 MFLOP"
std::string flop_text(int64_t flops) {
  double value = static_cast<double>(flops);
  const char* units[] = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"};
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(units)) value /= 1000, ++unit;
  return fmt::format("{:.{}f} {}", value, value < 10 && unit > 0 ? 1 : 0, units[unit]);
}

constexpr const char* kRow = "{:>9} {:>4}  {:>9}  {:>8}  {:>9}  {:>8}  {:>8}  {:>11}\n";

Json to_json(const DemoModel& model) {
  return {{"name", model.name},
          {"parameters", model.parameters},
          {"state_bytes", model.state_bytes},
          {"multiply_adds_per_token", model.multiply_adds_per_token}};
}

Json to_json(const RecallResult& result) {
  return {{"asked", result.asked},
          {"right", result.right},
          {"accuracy", result.accuracy()},
          {"us_per_token", result.us_per_token},
          {"resident_bytes", result.resident_bytes}};
}

}  // namespace

DemoModel demo_model(Engine& engine) {
  const Model& model = engine.model();
  return {engine.name(), model.parameter_count(), model.state_layout().bytes_per_slot(),
          model.multiply_adds_per_token(true)};
}

std::string demo_title(const std::string& title) {
  return "── " + title + " " + repeated("─", kColumns - 4 - std::ssize(title)) + "\n";
}

std::string to_text(const TaleReport& report) {
  return wrapped(fmt::format("{}, a model of {} parameters, goes on from \"{}\".",
                             report.model.name, grouped(report.model.parameters), report.prompt)) +
         "\n" + wrapped(report.prompt + report.text, "  ") + "\n" +
         wrapped(
             fmt::format("{} tokens, {:.0f} a second. All that it keeps of a text is {}, however "
                         "long the text is.",
                         report.tokens, report.tok_s, size_text(report.model.state_bytes)));
}

std::string to_text(const RememberResult& result) {
  const auto right = std::count_if(result.facts.begin(), result.facts.end(),
                                   [](const Remembered& fact) { return fact.right; });
  std::string text = fmt::format("Told, and asked for after {} tokens of tales: {} of {} right.\n",
                                 grouped(result.distraction_tokens), right, result.facts.size());
  for (const Remembered& fact : result.facts)
    text += "\n" + wrapped("told: " + fact.told, "  ") + wrapped("asked: " + fact.question, "  ") +
            wrapped((fact.right ? "right: " : "wrong: ") + fact.answer, "  ");
  return text;
}

std::string recall_head(const RecallReport& report) {
  std::string text =
      report.task == RecallTask::induction
          ? "Among random ids a special one appears; the id after it is to be remembered "
            "until the special one comes again, at the very end."
          : "16 ids lie scattered in noise; at the end they are to be said in order.";
  text +=
      fmt::format(" A guess is right {:.1f} % of the time. {} has {} parameters",
                  100 * chance(report.task), report.model.name, grouped(report.model.parameters));
  if (report.twin)
    text += fmt::format("; its LTI twin {}, with S4D in place of the selective scan",
                        grouped(report.twin->parameters));
  return wrapped(text + ".") + "\n" +
         fmt::format(kRow, "tokens", "n", to_string(report.task), "LTI twin", "per token",
                     "resident", "state", "Transformer");
}

std::string recall_line(const RecallReport& report, const RecallRow& row) {
  return fmt::format(kRow, grouped(row.model.length), row.model.sequences, share_text(row.model),
                     row.twin ? share_text(*row.twin) : "–",
                     fmt::format("{:.2f} µs", row.model.us_per_token),
                     size_text(row.model.resident_bytes), size_text(report.model.state_bytes),
                     size_text(row.transformer.kv_bytes));
}

std::string recall_foot(const RecallReport& report) {
  const RecallRow& last = report.rows.back();
  return wrapped(fmt::format(
      "n: sequences. resident: the whole program. state: all that the model keeps of a sequence. "
      "Transformer: the keys and values that one of {0} layers and {1} channels keeps of it, 2 x "
      "{0} x {1} x 4 bytes a token. Its attention takes 4 x {0} x {1} operations for every token "
      "before: {3} at token {2}, where the products of {5} take {4} at any.",
      report.layers, report.channels, grouped(last.model.length),
      flop_text(last.transformer.attention_flops),
      flop_text(2 * report.model.multiply_adds_per_token), report.model.name));
}

Json to_json(const TaleReport& report) {
  return {{"model", to_json(report.model)},
          {"prompt", report.prompt},
          {"text", report.text},
          {"tokens", report.tokens},
          {"tok_s", report.tok_s}};
}

Json to_json(const RememberResult& result) {
  Json facts = Json::array();
  for (const Remembered& fact : result.facts)
    facts.push_back({{"told", fact.told},
                     {"question", fact.question},
                     {"answer", fact.answer},
                     {"expected", fact.expected},
                     {"right", fact.right}});
  return {{"distraction_tokens", result.distraction_tokens}, {"facts", std::move(facts)}};
}

Json to_json(const RecallReport& report) {
  Json lengths = Json::array();
  for (const RecallRow& row : report.rows)
    lengths.push_back({{"length", row.model.length},
                       {"sequences", row.model.sequences},
                       {"model", to_json(row.model)},
                       {"twin", row.twin ? to_json(*row.twin) : Json(nullptr)},
                       {"transformer",
                        {{"kv_bytes", row.transformer.kv_bytes},
                         {"attention_flops", row.transformer.attention_flops}}}});
  return {{"model", to_json(report.model)},
          {"twin", report.twin ? to_json(*report.twin) : Json(nullptr)},
          {"chance", chance(report.task)},
          {"lengths", std::move(lengths)}};
}

std::string progress_bar(const std::string& what, double share) {
  constexpr int64_t kCells = 30;
  const auto full = static_cast<int64_t>(std::lround(share * kCells));
  return fmt::format("{} {}{} {:3.0f} %", what, repeated("█", full), repeated("░", kCells - full),
                     100 * share);
}

}  // namespace krait::cli
