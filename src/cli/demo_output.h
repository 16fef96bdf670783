// What `krait demo` shows: a report of plain lines for 80 columns, or JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "krait/demo.h"

namespace krait::cli {

// A model and what one sequence costs it.
struct DemoModel {
  std::string name;
  int64_t parameters = 0;
  int64_t state_bytes = 0;
  int64_t multiply_adds_per_token = 0;
};
DemoModel demo_model(Engine& engine);

// A recall task at one length: the model and its time-invariant twin on the same sequences.
struct RecallRow {
  RecallResult model;
  std::optional<RecallResult> twin;
  TransformerCost transformer;
};
struct RecallReport {
  RecallTask task;
  DemoModel model;
  std::optional<DemoModel> twin;
  int64_t channels = 0, layers = 0;  // of the model
  std::vector<RecallRow> rows;
};

struct TaleReport {
  DemoModel model;
  std::string prompt, text;
  int64_t tokens = 0;
  double tok_s = 0;
};

// The line that begins a demonstration.
std::string demo_title(const std::string& title);

std::string to_text(const TaleReport& report);
std::string to_text(const RememberResult& result);
// The task and the head of the table; a line of it; what stands below all tables (the words of a
// report with lines).
std::string recall_head(const RecallReport& report);
std::string recall_line(const RecallReport& report, const RecallRow& row);
std::string recall_foot(const RecallReport& report);

nlohmann::ordered_json to_json(const TaleReport& report);
nlohmann::ordered_json to_json(const RememberResult& result);
nlohmann::ordered_json to_json(const RecallReport& report);

// Where there is so much done: "induction ████░░░░  50%".
std::string progress_bar(const std::string& what, double share);

}  // namespace krait::cli
