#include "src/engine/roof.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "krait/bench.h"

namespace krait {

void Roof::measure() {
  peak_rss_ = peak_rss();
  gb_s_ = std::max(gb_s_, 1e-9 * engine_.backend().read_bandwidth());
  const double multiply_adds = engine_.backend().peak_multiply_adds(engine_.model().weight_dtype());
  gflop_s_ = std::max(gflop_s_, 2e-9 * multiply_adds);
  // Start the system's count of peak memory anew; where that is refused, the figure includes ours.
  std::ofstream("/proc/self/clear_refs") << "5";
}

int64_t Roof::peak_rss() const { return std::max(peak_rss_, peak_rss_bytes()); }

int64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::atoll(line.c_str() + 6) * 1024;
  return 0;
}

}  // namespace krait
