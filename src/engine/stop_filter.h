// Finds stop strings in a stream of text and holds back what may yet become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace krait {

class StopFilter {
 public:
  // Empty stop strings are ignored.
  explicit StopFilter(std::vector<std::string> stops);

  // Takes the next piece of text and returns what is certain not to belong to a stop string. After
  // a stop string was seen, stopped() holds and the text before it has been returned.
  std::string push(std::string_view text);

  // What was held back, when the text ends otherwise.
  std::string finish();

  // Whether text is held back.
  bool holds_back() const noexcept { return !pending_.empty(); }

  bool stopped() const noexcept { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace krait
