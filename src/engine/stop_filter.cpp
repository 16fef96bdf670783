#include "src/engine/stop_filter.h"

#include <algorithm>
#include <utility>

namespace krait {

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase(stops_, "");
}

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return "";
  pending_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, pending_.find(stop));
  size_t certain = pending_.size();
  if (first != std::string::npos) {
    stopped_ = true;
    certain = first;
  } else {
    // Hold back the longest tail that some stop string begins with.
    for (const std::string& stop : stops_)
      for (size_t tail = std::min(stop.size() - 1, pending_.size()); tail > 0; --tail)
        if (pending_.ends_with(std::string_view(stop).substr(0, tail))) {
          certain = std::min(certain, pending_.size() - tail);
          break;
        }
  }
  std::string out = pending_.substr(0, certain);
  if (stopped_)
    pending_.clear();
  else
    pending_.erase(0, certain);
  return out;
}

std::string StopFilter::finish() { return std::exchange(pending_, {}); }

}  // namespace krait
