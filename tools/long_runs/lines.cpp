#include <atomic>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/batch.h"
#include "tools/long_runs/runs.h"

namespace krait::long_runs {
namespace {

namespace fs = std::filesystem;

void write_requests(const fs::path& path, int64_t count) {
  std::ofstream file(path);
  for (int64_t i = 0; i < count; ++i)
    file << nlohmann::json{{"custom_id", std::to_string(i)},
                           {"prompt", "Day " + std::to_string(i) + ": the"},
                           {"max_tokens", 2 + i % 7}}
         << "\n";
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

// How many of `count` lines have exactly one result, and that one a text.
int64_t answered(const fs::path& results, int64_t count) {
  std::vector<int> seen(static_cast<size_t>(count));
  std::ifstream file(results);
  for (std::string line; std::getline(file, line);) {
    const auto result = nlohmann::json::parse(line);
    const bool good = result["error"].is_null() && result["response"]["status_code"] == 200;
    seen.at(std::stoul(result["custom_id"].get<std::string>())) += good ? 1 : 2;
  }
  return std::count(seen.begin(), seen.end(), 1);
}

}  // namespace

bool lines(const Options& options) {
  const int64_t part = options.part(options.lines), count = kParts * part;
  const fs::path folder = fs::temp_directory_path() / "krait_long_runs_lines";
  fs::remove_all(folder);
  fs::create_directory(folder);
  write_requests(folder / "in.jsonl", count);
  const auto engine = open(options.text_model, options);
  std::atomic<bool> interrupt = false;
  BatchOptions batch;
  batch.input = folder / "in.jsonl";
  batch.results = folder / "out.jsonl";
  batch.interrupt = &interrupt;

  Parts parts("Lines of one batch (" + options.text_model + "), resumed in the middle", "lines");
  int64_t finished = 0;
  const auto on_progress = [&](const BatchProgress& progress) {
    while (progress.finished - finished >= part) {
      finished += part;
      parts.done(part);
      if (finished == count / 2) interrupt = true;
    }
  };
  const BatchProgress first = run_batch(*engine, batch, on_progress);
  interrupt = false;
  const BatchProgress second = run_batch(*engine, batch, on_progress);
  if (finished < count) on_progress(second);

  bool good = parts.flat();
  good &= check(first.interrupted && first.finished >= count / 2 && first.finished < count &&
                    second.resumed == first.finished,
                "stopped after " + std::to_string(first.finished) + " lines, of which " +
                    std::to_string(second.resumed) + " were found when resumed");
  const int64_t once = answered(folder / "out.jsonl", count);
  good &= check(once == count,
                std::to_string(once) + " of " + std::to_string(count) + " lines have one result");
  fs::remove_all(folder);
  return good;
}

}  // namespace krait::long_runs
