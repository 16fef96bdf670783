// Safetensors files that were damaged or made to do harm.
#include <random>
#include <string>
#include <vector>

#include "krait/error.h"
#include "src/formats/safetensors.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::as_bytes;
using test::entry;
using test::safetensors;

std::vector<WeightsEntry> parse(const std::string& file) {
  return parse_safetensors(as_bytes(file), "x.safetensors");
}

// A small file with a bit of everything.
std::string sample() {
  return safetensors(
      "{\"__metadata__\":{\"format\":\"pt\"}," + entry("a.weight", "F32", "[2,3]", 0, 24) + "," +
          entry("b", "BF16", "[5]", 24, 34) + "," + entry("c", "F8_E4M3", "[]", 34, 35) + "," +
          entry("d", "I64", "[0,2]", 35, 35) + "}  ",
      std::string(35, 'd'));
}

TEST(HostileSafetensors, EveryTruncationIsRefused) {
  const std::string file = sample();
  EXPECT_EQ(parse(file).size(), 4);
  for (size_t size = 0; size < file.size(); ++size) {
    // A copy of its own, so that a sanitizer sees reads past the end.
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    const auto bytes = std::as_bytes(std::span(cut));
    EXPECT_THROW(parse_safetensors(bytes, "x"), InputError) << size;
  }
  EXPECT_THROW(parse(file + "x"), InputError);
}

TEST(HostileSafetensors, DamagedBytesAreReadOrRefused) {
  const std::string file = sample();
  std::mt19937 random(11);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = file;
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
      const size_t place = random() % damaged.size();
      damaged[place] = static_cast<char>(random() % 2 ? damaged[place] ^ (1 << random() % 8)
                                                      : static_cast<int>(random() % 256));
    }
    const auto first = as_bytes(damaged).data();
    try {
      for (const WeightsEntry& e : parse(damaged)) {
        ASSERT_GE(e.tensor.data.data(), first);
        ASSERT_LE(e.tensor.data.data() + e.tensor.data.size(), first + damaged.size());
      }
      ++loaded;
    } catch (const InputError& error) {
      ASSERT_LT(std::string(error.what()).size(), 1000);
      ++refused;
    }
  }
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 1000);
}

TEST(HostileSafetensors, LargeHeadersAreReadOrRefused) {
  std::string zeros = R"({"t":{"dtype":"U8","data_offsets":[0,0],"shape":[0)";
  while (zeros.size() < 10'000'000) zeros += ",0";
  EXPECT_THROW(parse(safetensors(zeros + "]}}")), InputError);
  EXPECT_THROW(parse(safetensors("{\"" + std::string(10'000'000, 'n'))), InputError);
  std::string many = "{";
  for (int i = 0; many.size() < 10'000'000; ++i)
    many += (i ? "," : "") + entry("t" + std::to_string(i), "U8", "[0]", 0, 0);
  EXPECT_GT(parse(safetensors(many + "}")).size(), 100'000);
}

}  // namespace
}  // namespace krait
