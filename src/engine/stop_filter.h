// Finds stop strings in a stream of text and holds back what may yet become one. Time per byte does
// not depend on how many stop strings there are or how long they are (Aho and Corasick, 1975).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace krait {

// The stop strings of a request: immutable, shared by its completions.
class StopStrings {
 public:
  // Of all of them together: a million of 16 bytes. Bounds the memory, 17 times as much.
  static constexpr size_t kMaxBytes = size_t{16} << 20;

  // Empty ones are ignored. Throws InputError for more than kMaxBytes.
  explicit StopStrings(std::vector<std::string> stops);

 private:
  friend class StopFilter;

  // A node is what some stop strings begin with; 0 is the empty text. Nodes are in the order of
  // their lengths, the children of each side by side in the order of their last bytes.
  struct Node {
    uint32_t first_child = 0;  // the last one is before the first child of the next node
    uint32_t shorter = 0;      // the longest node that this one ends with, but for itself
    uint32_t length = 0;
    uint32_t match = 0;  // of the longest stop string that it ends with; 0: none
  };
  struct Place;

  void add_children(const std::vector<std::string>& stops, const Place& place,
                    std::vector<Place>& next);
  uint32_t child(uint32_t node, char byte) const;  // 0: none
  uint32_t step(uint32_t node, char byte) const;   // the longest that ends a text with that byte

  std::vector<Node> nodes_;  // and one beyond the last
  std::string bytes_;        // the last byte of each node
};

class StopFilter {
 public:
  explicit StopFilter(std::shared_ptr<const StopStrings> stops) : stops_(std::move(stops)) {}
  explicit StopFilter(std::vector<std::string> stops)
      : StopFilter(std::make_shared<const StopStrings>(std::move(stops))) {}

  // Takes the next piece of text and returns what is certain not to belong to a stop string. After
  // a stop string was seen, stopped() holds and the text before it has been returned.
  std::string push(std::string_view text);

  // What was held back, when the text ends otherwise.
  std::string finish();

  // Whether text is held back.
  bool holds_back() const noexcept { return !pending_.empty(); }

  bool stopped() const noexcept { return stopped_; }

 private:
  std::shared_ptr<const StopStrings> stops_;
  uint32_t node_ = 0;  // pending_
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace krait
