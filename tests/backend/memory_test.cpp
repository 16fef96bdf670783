// Pieces of memory for matrices: aligned, zeroed, apart from each other, and alive while held.
#include "src/backend/cpu/memory.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace krait {
namespace {

TEST(MemoryPool, PiecesAreAlignedZeroedAndApart) {
  std::vector<std::pair<std::shared_ptr<std::byte>, int64_t>> pieces;
  {
    MemoryPool pool;
    for (const int64_t size : {1, 63, 64, 65, 5000, 3 << 20, 40 << 20, 1, 20 << 20, 30 << 20, 7}) {
      const auto piece = pool.take(size);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(piece.get()) % 64, 0u);
      EXPECT_TRUE(std::all_of(piece.get(), piece.get() + size, [](std::byte b) {
        return b == std::byte{0};
      })) << size;
      std::memset(piece.get(), static_cast<int>(pieces.size()) + 1, static_cast<size_t>(size));
      pieces.emplace_back(piece, size);
    }
  }
  pieces.erase(pieces.begin() + 5);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto& [piece, size] = pieces[i];
    const std::byte mine{static_cast<unsigned char>(i < 5 ? i + 1 : i + 2)};
    EXPECT_TRUE(std::all_of(piece.get(), piece.get() + size, [&](std::byte b) {
      return b == mine;
    })) << size;
  }
}

}  // namespace
}  // namespace krait
