// The results of `krait bench` as a table or as data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "krait/bench.h"

namespace krait::cli {

enum class BenchFormat { markdown, csv, json, jsonl };

// "md", "csv", "json", "jsonl".
std::optional<BenchFormat> parse_bench_format(std::string_view word);

// What was measured, and where.
struct BenchSubject {
  std::string model;
  std::string dtype;
  std::string act;  // what activations are rounded to, or empty
  DeviceInfo device;
  int64_t weight_bytes_per_token = 0;
  int64_t parameters = 0;
};

// The text of each part, in the order of the calls: begin, any number of rows, end.
class BenchWriter {
 public:
  BenchWriter(BenchFormat format, BenchSubject subject);

  std::string begin();
  std::string row(const BenchResult& result);
  std::string row(const Startup& startup);
  std::string end();

 private:
  std::string data_row(const BenchResult* result, const Startup* startup);
  std::string table_row(std::string_view test, std::string_view speed, const BenchResult* result);

  BenchFormat format_;
  BenchSubject subject_;
  std::string model_cell_;
  bool has_rows_ = false;
  double roof_gb_s_ = 0, roof_gflop_s_ = 0;
  int64_t peak_rss_bytes_ = 0;
  std::string stages_;  // the tables of stages, which follow the table of results
};

}  // namespace krait::cli
