#include "src/base/line_reader.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

// The lines of a pipe that is written `piece` bytes at a time.
std::vector<std::string> lines_of(const std::string& text, size_t piece, size_t limit = 1 << 20) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    for (size_t at = 0; at < text.size(); at += piece)
      EXPECT_GT(::write(ends[1], text.data() + at, std::min(piece, text.size() - at)), 0);
    ::close(ends[1]);
  });
  std::vector<std::string> lines;
  LineReader reader(ends[0], "pipe", limit);
  for (;;) {
    try {
      const auto line = reader.next();
      if (!line) break;
      lines.emplace_back(*line);
    } catch (const InputError& e) {
      lines.push_back(e.what());
    }
    EXPECT_EQ(reader.line(), static_cast<int64_t>(lines.size()));
  }
  EXPECT_EQ(reader.bytes_read(), static_cast<int64_t>(text.size()));
  writer.join();
  ::close(ends[0]);
  return lines;
}

TEST(LineReader, LinesAreTheSameHoweverTheyArrive) {
  const std::string text = "one\n\ntwo\r\n" + std::string(1000, 'x') + "\nlast";
  for (const size_t piece : {1u, 3u, 100u, 5000u})
    EXPECT_THAT(lines_of(text, piece),
                testing::ElementsAre("one", "", "two", std::string(1000, 'x'), "last"));
  EXPECT_THAT(lines_of("", 1), testing::IsEmpty());
  EXPECT_THAT(lines_of("\n", 1), testing::ElementsAre(""));
  EXPECT_THAT(lines_of("a\n", 1), testing::ElementsAre("a"));
}

TEST(LineReader, TellsWhetherTheLastLineHasItsEnd) {
  for (const bool torn : {false, true}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const std::string text = torn ? "a\nb" : "a\nb\n";
    ASSERT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(ends[1]);
    LineReader reader(ends[0], "pipe", 100);
    ASSERT_EQ(reader.next(), "a");
    EXPECT_TRUE(reader.line_has_end());
    ASSERT_EQ(reader.next(), "b");
    EXPECT_EQ(reader.line_has_end(), !torn);
    EXPECT_EQ(reader.next(), std::nullopt);
    ::close(ends[0]);
  }
}

TEST(LineReader, ALineBeyondTheLimitIsRefusedByNumberAndPassedOver) {
  const auto refused = [](int line) {
    return testing::HasSubstr("pipe: line " + std::to_string(line) + " has more than 5 bytes");
  };
  for (const size_t piece : {1u, 4u, 100u}) {
    EXPECT_THAT(lines_of("ab\nabcdef\nx\n\n", piece, 5),
                testing::ElementsAre("ab", refused(2), "x", ""));
    EXPECT_THAT(lines_of("abcde\nabcdef", piece, 5), testing::ElementsAre("abcde", refused(2)));
    EXPECT_THAT(lines_of("abcdef\nabcdef\nlast", piece, 5),
                testing::ElementsAre(refused(1), refused(2), "last"));
  }
  EXPECT_THAT(lines_of(std::string(1'000'000, 'x') + "\nlast", 50'000, 5),
              testing::ElementsAre(refused(1), "last"));
}

}  // namespace
}  // namespace krait
