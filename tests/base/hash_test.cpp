#include "src/base/hash.h"

#include <string>

#include <gtest/gtest.h>

namespace krait {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Hash, IsXxh3) {
  // Test vectors of xxHash's own `xxhsum -H3`: the empty input, with seed 0.
  EXPECT_EQ(hash_of({}), 0x2d06800538d394c2u);
}

TEST(Hash, PiecesGiveTheHashOfTheWhole) {
  const std::string text(1000, 'k');
  for (const size_t cut : {0, 1, 255, 256, 999}) {
    Hasher hasher;
    hasher.add(bytes(std::string_view(text).substr(0, cut)));
    hasher.add(bytes(std::string_view(text).substr(cut)));
    EXPECT_EQ(hasher.value(), hash_of(bytes(text)));
  }
}

TEST(Hash, NeighbouringTextsDoNotRunTogether) {
  const auto of = [](std::string_view a, std::string_view b) {
    Hasher hasher;
    hasher.add(a);
    hasher.add(b);
    return hasher.value();
  };
  EXPECT_NE(of("ab", "c"), of("a", "bc"));
  EXPECT_EQ(of("ab", "c"), of("ab", "c"));
}

}  // namespace
}  // namespace krait
