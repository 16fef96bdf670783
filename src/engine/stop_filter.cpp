#include "src/engine/stop_filter.h"

#include <algorithm>
#include <utility>

#include "krait/error.h"

namespace krait {

// A node whose children are to be found, and the stop strings that begin with it.
struct StopStrings::Place {
  uint32_t node, first, last;
};

StopStrings::StopStrings(std::vector<std::string> stops) {
  size_t bytes = 0;
  for (const std::string& stop : stops) bytes += stop.size();
  if (bytes > kMaxBytes)
    throw InputError("the stop strings take " + std::to_string(bytes) +
                     " bytes together; expected at most " + std::to_string(kMaxBytes));
  std::erase(stops, "");
  std::sort(stops.begin(), stops.end());
  nodes_.emplace_back();
  bytes_.push_back('\0');
  std::vector<Place> places = {{0, 0, static_cast<uint32_t>(stops.size())}}, next;
  for (; !places.empty(); std::swap(places, next)) {
    next.clear();
    for (const Place& place : places) add_children(stops, place, next);
  }
  nodes_.push_back({.first_child = static_cast<uint32_t>(bytes_.size())});
}

void StopStrings::add_children(const std::vector<std::string>& stops, const Place& place,
                               std::vector<Place>& next) {
  const uint32_t length = nodes_[place.node].length;
  nodes_[place.node].first_child = static_cast<uint32_t>(nodes_.size());
  uint32_t first = place.first;
  while (first < place.last && stops[first].size() == length) ++first;
  while (first < place.last) {
    const char byte = stops[first][length];
    const auto added = static_cast<uint32_t>(nodes_.size());
    Node node{.length = length + 1};
    // All shorter nodes, and so all children that matter here, are there already.
    if (place.node != 0) node.shorter = step(nodes_[place.node].shorter, byte);
    node.match = stops[first].size() == length + 1 ? node.length : nodes_[node.shorter].match;
    nodes_.push_back(node);
    bytes_.push_back(byte);
    uint32_t last = first;
    while (last < place.last && stops[last][length] == byte) ++last;
    next.push_back({added, first, last});
    first = last;
  }
}

uint32_t StopStrings::child(uint32_t node, char byte) const {
  const auto before = [](char a, char b) {
    return static_cast<unsigned char>(a) < static_cast<unsigned char>(b);
  };
  const auto end = bytes_.begin() + nodes_[node + 1].first_child;
  const auto at = std::lower_bound(bytes_.begin() + nodes_[node].first_child, end, byte, before);
  return at != end && *at == byte ? static_cast<uint32_t>(at - bytes_.begin()) : 0;
}

uint32_t StopStrings::step(uint32_t node, char byte) const {
  for (;; node = nodes_[node].shorter) {
    const uint32_t next = child(node, byte);
    if (next != 0 || node == 0) return next;
  }
}

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return "";
  size_t first = std::string::npos;  // where the first stop string begins
  for (const char byte : text) {
    pending_ += byte;
    node_ = stops_->step(node_, byte);
    if (const size_t match = stops_->nodes_[node_].match; match > 0)
      first = std::min(first, pending_.size() - match);
  }
  stopped_ = first != std::string::npos;
  const size_t certain = stopped_ ? first : pending_.size() - stops_->nodes_[node_].length;
  std::string out = pending_.substr(0, certain);
  if (stopped_)
    pending_.clear();
  else
    pending_.erase(0, certain);
  return out;
}

std::string StopFilter::finish() {
  node_ = 0;
  return std::exchange(pending_, {});
}

}  // namespace krait
