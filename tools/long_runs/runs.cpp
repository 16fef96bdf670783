#include "tools/long_runs/runs.h"

#include <algorithm>
#include <cstdio>

#include "krait/demo.h"

namespace krait::long_runs {
namespace {

constexpr int64_t kMostGrowthBytes = 2 << 20;
constexpr double kMostSlowdown = 1.3;

double mib(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

int64_t Options::part(int64_t whole) const {
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(whole) * scale) / kParts);
}

std::unique_ptr<Engine> open(const std::string& model, const Options& options) {
  OpenOptions open;
  open.model = model;
  open.backend.device = "cpu";
  open.backend.threads = options.threads;
  return Engine::open(open);
}

Parts::Parts(const std::string& title, const std::string& unit)
    : clock_(std::clock()), begin_(std::chrono::steady_clock::now()) {
  std::printf(
      "\n### %s\n\n| %s | per second of processor time | RSS, MiB | elapsed, s |\n"
      "| ---: | ---: | ---: | ---: |\n",
      title.c_str(), unit.c_str());
}

void Parts::done(int64_t units) {
  const std::clock_t now = std::clock();
  const double seconds = static_cast<double>(now - clock_) / CLOCKS_PER_SEC;
  parts_.push_back({seconds, resident_bytes(), units});
  units_ += units;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
  std::printf("| %lld | %.0f | %.2f | %.0f |\n", static_cast<long long>(units_),
              static_cast<double>(units) / seconds, mib(parts_.back().rss_bytes), elapsed.count());
  std::fflush(stdout);
  clock_ = now;
}

double Parts::processor_s(size_t first, size_t last) const {
  double seconds = 0;
  int64_t units = 0;
  for (size_t i = first; i < last; ++i) {
    seconds += parts_[i].processor_s;
    units += parts_[i].units;
  }
  return seconds / static_cast<double>(units);
}

bool Parts::flat() const {
  const size_t count = parts_.size();
  const int64_t growth = parts_.back().rss_bytes - parts_.front().rss_bytes;
  const double slowdown = processor_s(count - count / 3, count) / processor_s(0, count / 3);
  char text[200];
  std::snprintf(text, sizeof text,
                "memory grew by %.2f MiB after the first part; the last third took %.2f times the "
                "time of the first",
                mib(growth), slowdown);
  // Parts of some milliseconds say nothing of speed.
  const bool measured = processor_s(0, 1) * static_cast<double>(parts_[0].units) > 0.5;
  return check(growth <= kMostGrowthBytes && (!measured || slowdown <= kMostSlowdown), text);
}

bool check(bool ok, const std::string& what) {
  std::printf("\n%s: %s\n", ok ? "ok" : "FAILED", what.c_str());
  return ok;
}

}  // namespace krait::long_runs
