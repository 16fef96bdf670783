// GGUF files that were damaged or made to do harm.
#include <random>

#include <gtest/gtest.h>

#include "krait/error.h"
#include "src/formats/gguf.h"
#include "tests/formats/gguf_bytes.h"

namespace krait {
namespace {

using namespace test;  // NOLINT: the pieces of files

// A small file with a bit of everything.
std::string sample() {
  GgufParts file;
  file.pairs.insert(file.pairs.end(), {u32_pair("general.alignment", 16), pair("f", 6, raw(0.5f)),
                                       pair("b", 7, raw(uint8_t{0})), text_pair("t", "Größe"),
                                       array_pair("s", 8, 2, gguf_text("one") + gguf_text("two")),
                                       array_pair("i", 5, 3, std::string(12, '\1'))});
  file.alignment = 16;
  file.tensors = {tensor_info("a.weight", {3, 2}, 0, 0), tensor_info("q", {32}, 8, 32),
                  tensor_info("odd", {256}, 23, 80), tensor_info("last", {5}, 30, 224)};
  file.data = std::string(234, 'd');
  return file.bytes();
}

GgufContents parse(std::string_view file) {
  return parse_gguf(std::as_bytes(std::span(file)), "x.gguf");
}

TEST(HostileGguf, EveryTruncationIsRefused) {
  const std::string file = sample();
  EXPECT_EQ(parse(file).tensors.size(), 4);
  for (size_t size = 0; size < file.size(); ++size) {
    // A copy of its own, so that a sanitizer sees reads past the end.
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(parse({cut.data(), cut.size()}), InputError) << size;
  }
}

TEST(HostileGguf, DamagedBytesAreReadOrRefused) {
  const std::string file = sample();
  std::mt19937 random(13);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::vector<char> damaged(file.begin(), file.end());
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
      char& byte = damaged[random() % damaged.size()];
      byte = static_cast<char>(random() % 2 ? byte ^ (1 << random() % 8)
                                            : static_cast<int>(random() % 256));
    }
    const auto* first = reinterpret_cast<const std::byte*>(damaged.data());
    try {
      for (const GgufEntry& e : parse({damaged.data(), damaged.size()}).tensors) {
        ASSERT_GE(e.tensor.data.data(), first);
        ASSERT_LE(e.tensor.data.data() + e.tensor.data.size(), first + damaged.size());
      }
      ++loaded;
    } catch (const InputError& error) {
      ASSERT_LT(std::string(error.what()).size(), 1000);
      ++refused;
    }
  }
  EXPECT_GT(loaded, 1000);
  EXPECT_GT(refused, 1000);
}

// Counts and lengths at every place of the file, huge: refused, and nothing of that size allocated
// (under a sanitizer an allocation of 2^40 bytes aborts).
TEST(HostileGguf, HugeNumbersAnywhereAreReadOrRefused) {
  const std::string file = sample();
  for (size_t place = 8; place + 8 <= file.size(); ++place)
    for (const uint64_t huge : {uint64_t{1} << 31, uint64_t{1} << 40, uint64_t{1} << 62,
                                uint64_t{1} << 63, ~uint64_t{0}}) {
      std::string damaged = file;
      damaged.replace(place, 8, raw(huge));
      try {
        parse(damaged);
      } catch (const InputError&) {
      }
    }
}

TEST(HostileGguf, LongTablesAreReadInTimeAndMemoryInProportion) {
  GgufParts file;
  for (int i = 0; i < 100'000; ++i) {
    file.pairs.push_back(pair("k" + std::to_string(i), 7, "\1"));
    file.tensors.push_back(
        tensor_info("t" + std::to_string(i), {1}, 24, static_cast<uint64_t>(i) * 32));
  }
  file.data = std::string(3'200'000, '\0');
  const std::string bytes = file.bytes();
  const GgufContents contents = parse(bytes);
  EXPECT_EQ(contents.metadata.size(), 100'001);
  EXPECT_EQ(contents.tensors.size(), 100'000);
}

}  // namespace
}  // namespace krait
