#include "src/engine/stop_filter.h"

#include <chrono>
#include <random>

#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"

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

// What the filter is to do, one stop string after another.
class SlowFilter {
 public:
  explicit SlowFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  std::string push(std::string_view text) {
    if (stopped) return "";
    pending_ += text;
    size_t certain = pending_.size();
    for (const std::string& stop : stops_) {
      if (stop.empty()) continue;
      const size_t at = pending_.find(stop);
      stopped |= at != std::string::npos;
      for (size_t tail = std::min(stop.size() - 1, pending_.size()); !stopped && tail > 0; --tail)
        if (pending_.ends_with(std::string_view(stop).substr(0, tail)))
          certain = std::min(certain, pending_.size() - tail);
    }
    if (stopped) {
      certain = std::string::npos;
      for (const std::string& stop : stops_)
        if (!stop.empty()) certain = std::min(certain, pending_.find(stop));
    }
    std::string out = pending_.substr(0, certain);
    pending_.erase(0, certain);
    return out;
  }

  bool stopped = false;

 private:
  std::vector<std::string> stops_;
  std::string pending_;
};

TEST(StopFilterTest, GivesWhatLookingForOneStopStringAfterAnotherGives) {
  std::mt19937 random(3);
  const auto text = [&](size_t least, size_t most, int letters) {
    std::string out(least + random() % (most - least + 1), ' ');
    for (char& c : out) c = static_cast<char>(0xfe + random() % letters);  // signs of char, too
    return out;
  };
  int stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    const int letters = 2 + static_cast<int>(random() % 3);
    std::vector<std::string> stops(random() % 8);
    for (std::string& stop : stops) stop = text(0, 9, letters);
    StopFilter filter(stops);
    SlowFilter slow(stops);
    for (int piece = 0; piece < 12; ++piece) {
      const std::string input = text(0, 4, letters);
      ASSERT_EQ(filter.push(input), slow.push(input)) << round;
      ASSERT_EQ(filter.stopped(), slow.stopped) << round;
    }
    stopped += filter.stopped();
  }
  EXPECT_GT(stopped, 500);
  EXPECT_LT(stopped, 2900);
}

double seconds_of(StopFilter& filter, std::string_view piece, int times) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) static_cast<void>(filter.push(piece));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(StopFilterTest, ManyStopStringsCostNoMorePerTokenThanOne) {
  std::vector<std::string> stops;
  for (int i = 0; i < 50'000; ++i) stops.push_back("stop" + std::to_string(i) + "!");
  StopFilter many(stops), one({stops.back()});
  const double alone = seconds_of(one, " stop4", 20'000);
  EXPECT_LT(seconds_of(many, " stop4", 20'000), 20 * alone + 0.5);  // one by one: minutes
  EXPECT_EQ(many.push("9999 stop49999!"), "stop49999 ");
  EXPECT_TRUE(many.stopped());
}

TEST(StopFilterTest, AVeryLongStopStringCostsNoMorePerTokenThanAShortOne) {
  const std::string half(100'000, 'a');
  StopFilter filter({half + "b" + half});
  EXPECT_EQ(filter.push(half), "");
  EXPECT_LT(seconds_of(filter, "a", 20'000), 2);  // each holds back 100,000 bytes and lets one go
  EXPECT_EQ(filter.push("b" + half), "");
  EXPECT_TRUE(filter.stopped());
}

TEST(StopFilterTest, StopStringsAreLimitedTogether) {
  const std::string half(StopStrings::kMaxBytes / 2, 'x');
  EXPECT_EQ(filtered({half, half}, "xyz", 1), "xyz");
  EXPECT_EQ(test::message_of<InputError>([&] {
              StopFilter({half, half, "y"});
            }),
            "the stop strings take 16777217 bytes together; expected at most 16777216");
}

}  // namespace
}  // namespace krait
