#include "src/engine/stop_filter.h"

#include <gtest/gtest.h>

namespace krait {
namespace {

// Everything that comes out when `text` goes in, in pieces of `piece` bytes.
std::string filtered(const std::vector<std::string>& stops, std::string_view text, size_t piece,
                     bool* stopped = nullptr) {
  StopFilter filter(stops);
  std::string out;
  for (size_t i = 0; i < text.size(); i += piece) out += filter.push(text.substr(i, piece));
  out += filter.finish();
  if (stopped) *stopped = filter.stopped();
  return out;
}

TEST(StopFilterTest, TextBeforeTheFirstStopStringComesOutHoweverItIsCut) {
  bool stopped = false;
  for (size_t piece = 1; piece < 12; ++piece) {
    EXPECT_EQ(filtered({"END", "\n\n"}, "one\ntwo ENEND three", piece, &stopped), "one\ntwo EN");
    EXPECT_TRUE(stopped);
    EXPECT_EQ(filtered({"END"}, "never ENE", piece, &stopped), "never ENE");
    EXPECT_FALSE(stopped);
  }
}

TEST(StopFilterTest, HoldsBackOnlyWhatMayBecomeAStopString) {
  StopFilter filter({"abc"});
  EXPECT_EQ(filter.push("xxab"), "xx");
  EXPECT_EQ(filter.push("ab"), "ab");
  EXPECT_EQ(filter.push("d"), "abd");
  EXPECT_EQ(filter.push("abc tail"), "");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("more"), "");
  EXPECT_EQ(filter.finish(), "");
}

TEST(StopFilterTest, TheEarliestOfSeveralWinsAndEmptyOnesAreIgnored) {
  EXPECT_EQ(filtered({"", "world", "o w"}, "hello world", 3), "hell");
  EXPECT_EQ(filtered({""}, "all of it", 2), "all of it");
}

}  // namespace
}  // namespace krait
