#include "src/cli/bench_output.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "src/cli/bench_profile.h"

namespace krait::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMi = 1024.0 * 1024.0;

// Columns of the table after the model's: title, width, whether it is aligned to the left.
struct Column {
  const char* title;
  int width;
  bool left = false;
};
constexpr std::array<Column, 9> kColumns = {{{"size", 10},
                                             {"params", 9},
                                             {"backend", 10, true},
                                             {"threads", 7},
                                             {"test", 16},
                                             {"t/s", 18},
                                             {"GB/s", 6},
                                             {"memory", 6},
                                             {"GFLOP/s", 7}}};
constexpr Column kLastColumn = {"arithmetic", 10};

// Columns that a terminal shows: "±" is one of them and two bytes.
size_t columns_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(std::string_view text, size_t width, bool left) {
  const size_t columns = columns_of(text);
  const std::string space(width > columns ? width - columns : 0, ' ');
  return left ? std::string(text) + space : space + std::string(text);
}

std::string table_line(std::string_view model, size_t model_width,
                       const std::vector<std::string>& cells) {
  std::string line = "| " + padded(model, model_width, true) + " |";
  for (size_t i = 0; i < cells.size(); ++i) {
    const Column& column = i < kColumns.size() ? kColumns[i] : kLastColumn;
    line += " " + padded(cells[i], column.width, column.left) + " |";
  }
  return line + "\n";
}

// The last part of a path, or all of a hub id or a bundled name.
std::string short_name(std::string_view model) {
  const bool is_path = model.starts_with('/') || model.starts_with('.');
  while (model.size() > 1 && model.ends_with('/')) model.remove_suffix(1);
  const size_t slash = model.rfind('/');
  return std::string(is_path && slash != std::string_view::npos ? model.substr(slash + 1) : model);
}

Json speeds(const BenchResult& r) {
  return {{"median", r.tok_s_median},
          {"min", *std::min_element(r.tok_s.begin(), r.tok_s.end())},
          {"max", *std::max_element(r.tok_s.begin(), r.tok_s.end())},
          {"deviation", r.tok_s_deviation},
          {"all", r.tok_s}};
}

// One object; what does not belong to the test is null.
Json to_json(const BenchSubject& subject, const BenchResult* r, const Startup* startup) {
  Json json = {{"model", subject.model},
               {"dtype", subject.dtype},
               {"act", subject.act.empty() ? Json(nullptr) : Json(subject.act)},
               {"device", subject.device.name},
               {"cpu", subject.device.detail},
               {"isa", subject.device.isa},
               {"threads", subject.device.threads},
               {"parameters", subject.parameters},
               {"test", r ? test_name(*r) : "startup"},
               {"batch", r ? r->batch : 1},
               {"n_prompt", r ? r->n_prompt : startup->n_prompt},
               {"n_gen", r ? r->n_gen : 1},
               {"depth", r ? r->depth : 0},
               {"tok_s", r ? speeds(*r) : Json(nullptr)},
               {"weight_bytes_per_token", subject.weight_bytes_per_token}};
  const bool decode = r != nullptr && r->n_prompt == 0;
  const auto put = [&](const char* key, bool known, double value) {
    json[key] = known ? Json(value) : Json(nullptr);
  };
  put("gb_s", decode, decode ? r->gb_s : 0);
  put("roof_gb_s", decode, decode ? r->roof_gb_s : 0);
  put("roof_share", decode, decode ? r->roof_share : 0);
  put("gflop_s", r != nullptr, r ? r->gflop_s : 0);
  put("roof_gflop_s", r != nullptr, r ? r->roof_gflop_s : 0);
  put("gflop_share", r != nullptr, r ? r->gflop_share : 0);
  json["peak_rss_bytes"] = r ? Json(r->peak_rss_bytes) : Json(nullptr);
  put("load_ms", startup != nullptr, startup ? startup->load_ms : 0);
  put("first_token_ms", startup != nullptr, startup ? startup->first_token_ms : 0);
  put("process_ms", startup != nullptr, startup ? startup->process_ms : 0);
  if (r && !r->stages.empty()) json["stages"] = stages_json(r->stages);
  return json;
}

// The same as columns: tok_s becomes tok_s_median and so on, without the single figures and stages.
Json flattened(const Json& json) {
  Json flat = Json::object();
  for (const auto& [key, value] : json.items()) {
    if (key == "stages") continue;
    if (key != "tok_s") {
      flat[key] = value;
      continue;
    }
    for (const char* part : {"median", "min", "max", "deviation"})
      flat["tok_s_" + std::string(part)] = value.is_null() ? Json(nullptr) : value[part];
  }
  return flat;
}

// A field as RFC 4180 wants it.
std::string csv_field(const Json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  std::string quoted = "\"";
  for (const char c : value.get<std::string>()) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::optional<BenchFormat> parse_bench_format(std::string_view word) {
  if (word == "md") return BenchFormat::markdown;
  if (word == "csv") return BenchFormat::csv;
  if (word == "json") return BenchFormat::json;
  if (word == "jsonl") return BenchFormat::jsonl;
  return std::nullopt;
}

BenchWriter::BenchWriter(BenchFormat format, BenchSubject subject)
    : format_(format),
      subject_(std::move(subject)),
      model_cell_(short_name(subject_.model) + " " + subject_.dtype +
                  (subject_.act.empty() ? "" : ", act " + subject_.act)) {}

std::string BenchWriter::begin() {
  switch (format_) {
    case BenchFormat::jsonl: return "";
    case BenchFormat::json: return "[";
    case BenchFormat::csv: {
      std::string line;
      BenchResult any;
      any.tok_s = {0.0};
      const Json flat = flattened(to_json(subject_, &any, nullptr));
      for (const auto& [key, value] : flat.items()) line += (line.empty() ? "" : ",") + key;
      return line + "\n";
    }
    case BenchFormat::markdown: break;
  }
  const size_t width = std::max<size_t>(columns_of(model_cell_), 5);
  std::vector<std::string> titles, rules;
  for (size_t i = 0; i <= kColumns.size(); ++i) {
    const Column& column = i < kColumns.size() ? kColumns[i] : kLastColumn;
    titles.push_back(column.title);
    rules.push_back(std::string(column.width - 1, '-') + (column.left ? "-" : ":"));
  }
  return table_line("model", width, titles) + table_line(std::string(width, '-'), width, rules);
}

std::string BenchWriter::row(const BenchResult& result) {
  roof_gb_s_ = std::max(roof_gb_s_, result.roof_gb_s);
  roof_gflop_s_ = std::max(roof_gflop_s_, result.roof_gflop_s);
  peak_rss_bytes_ = std::max(peak_rss_bytes_, result.peak_rss_bytes);
  if (format_ != BenchFormat::markdown) return data_row(&result, nullptr);
  if (!result.stages.empty()) stages_ += "\n" + stage_table(result);
  const std::string speed =
      fmt::format("{:.2f} ± {:.2f}", result.tok_s_median, result.tok_s_deviation);
  return table_row(test_name(result), speed, &result);
}

std::string BenchWriter::row(const Startup& startup) {
  if (format_ != BenchFormat::markdown) return data_row(nullptr, &startup);
  const auto line = [&](const char* name, double ms) {
    return table_row(name, fmt::format("{:.1f} ms", ms), nullptr);
  };
  return line("load", startup.load_ms) + line("first token", startup.first_token_ms) +
         line("since start", startup.process_ms);
}

std::string BenchWriter::data_row(const BenchResult* result, const Startup* startup) {
  const Json json = to_json(subject_, result, startup);
  const bool first = !std::exchange(has_rows_, true);
  if (format_ == BenchFormat::json) return (first ? "\n  " : ",\n  ") + dumped(json);
  if (format_ == BenchFormat::jsonl) return dumped(json) + "\n";
  std::string line;
  const Json flat = flattened(json);
  for (const auto& [key, value] : flat.items())
    line += (line.empty() ? "" : ",") + csv_field(value);
  return line + "\n";
}

std::string BenchWriter::table_row(std::string_view test, std::string_view speed,
                                   const BenchResult* r) {
  const bool decode = r != nullptr && r->n_prompt == 0;
  return table_line(
      model_cell_, 5,
      {fmt::format("{:.2f} MiB", static_cast<double>(subject_.weight_bytes_per_token) / kMi),
       fmt::format("{:.2f} M", static_cast<double>(subject_.parameters) / 1e6),
       subject_.device.name + " " + subject_.device.isa, std::to_string(subject_.device.threads),
       std::string(test), std::string(speed), decode ? fmt::format("{:.1f}", r->gb_s) : "",
       decode ? percent(r->roof_share) : "", r ? fmt::format("{:.0f}", r->gflop_s) : "",
       r ? percent(r->gflop_share) : ""});
}

std::string BenchWriter::end() {
  if (format_ == BenchFormat::json) return "\n]\n";
  if (format_ != BenchFormat::markdown) return "";
  std::string text = "\n" + subject_.device.detail;
  if (roof_gb_s_ > 0) text += fmt::format("; read bandwidth {:.1f} GB/s", roof_gb_s_);
  if (roof_gflop_s_ > 0) text += fmt::format("; arithmetic {:.0f} GFLOP/s", roof_gflop_s_);
  if (peak_rss_bytes_ > 0)
    text += fmt::format("; peak memory {:.1f} MB", static_cast<double>(peak_rss_bytes_) / 1e6);
  return text + "\n" + stages_;
}

}  // namespace krait::cli
