// PyTorch files that were damaged or made to do harm.
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "krait/error.h"
#include "src/formats/torch_containers.h"
#include "src/formats/torch_file.h"
#include "tests/formats/torch_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::dict;
using test::global;
using test::kLegacyMagic;
using test::legacy_keys;
using test::legacy_system;
using test::pickle;
using test::storage;
using test::TempFolder;
using test::tensor;
using test::text;
using test::torch_zip;
using test::u64;
using testing::HasSubstr;

// A bit of everything: two types, a shared storage, a transposed tensor.
std::string sample_object() {
  const std::string floats = storage("FloatStorage", "0", 6);
  return pickle(dict({{"a", tensor(floats, 0, {2, 3}, {3, 1})},
                      {"t", tensor(floats, 0, {3, 2}, {1, 3})},
                      {"b", tensor(storage("HalfStorage", "1", 4), 1, {2}, {1})}}));
}

std::string zip_sample() {
  return torch_zip(sample_object(), {{"0", std::string(24, 'f')}, {"1", std::string(8, 'h')}},
                   {{"archive/byteorder", "little"}});
}

std::string legacy_sample() {
  return kLegacyMagic + pickle("M\xe9\x03") + legacy_system() + sample_object() +
         legacy_keys({"1", "0"}) + u64(4) + std::string(8, 'h') + u64(6) + std::string(24, 'f');
}

class HostileTorchFile : public testing::TestWithParam<std::string (*)()> {
 protected:
  TempFolder folder;
};

TEST_P(HostileTorchFile, EveryTruncationIsRefused) {
  const std::string whole = GetParam()();
  EXPECT_EQ(read_torch_file(folder.write("x.bin", whole)).entries.size(), 3);
  for (size_t size = 0; size < whole.size(); ++size) {
    // A copy of its own, so that a sanitizer sees reads past the end.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(read_torch_container(std::as_bytes(std::span(cut)), "x"), InputError) << size;
  }
  EXPECT_THROW(read_torch_file(folder.write("x.bin", whole + "x")), InputError);
}

TEST_P(HostileTorchFile, DamagedBytesAreReadOrRefused) {
  const std::string whole = GetParam()();
  std::mt19937 random(13);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 6'000; ++round) {
    std::string damaged = whole;
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
      const size_t place = random() % damaged.size();
      damaged[place] = static_cast<char>(random() % 2 ? damaged[place] ^ (1 << random() % 8)
                                                      : static_cast<int>(random() % 256));
    }
    try {
      // Both from the exact bytes, for a sanitizer, and through a file, copies and all.
      const std::vector<char> exact(damaged.begin(), damaged.end());
      read_torch_container(std::as_bytes(std::span(exact)), "x");
      const WeightsFile file = read_torch_file(folder.write("x.bin", damaged));
      unsigned sum = 0;
      for (const WeightsEntry& entry : file.entries)
        for (const std::byte byte : entry.tensor.data) sum += static_cast<unsigned>(byte);
      ASSERT_LT(sum, 255U * 3 * damaged.size());
      ++loaded;
    } catch (const InputError& error) {
      ASSERT_LT(std::string(error.what()).size(), 2000);
      ++refused;
    }
  }
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 1000);
}

// The classic: a pickle whose reading runs a command.
TEST_P(HostileTorchFile, NothingIsRun) {
  const std::string canary = folder.path("canary");
  const std::string command = "touch " + canary;
  const std::string attack = test::call(global("os", "system"), {text(command)});
  std::string whole = GetParam()();
  const std::string object = sample_object();
  const std::string evil = pickle(dict({{"a", attack}}));
  // The archive has no lengths of its own for the pickle that matter here: make it anew.
  const bool is_zip = whole.starts_with("PK");
  whole = is_zip ? torch_zip(evil) : whole.replace(whole.find(object), object.size(), evil);
  EXPECT_THAT(test::message_of<InputError>([&] { read_torch_file(folder.write("x.bin", whole)); }),
              HasSubstr("GLOBAL \"os.system\" is not allowed"));
  EXPECT_FALSE(std::filesystem::exists(canary));
  // The canary would have been seen.
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_TRUE(std::filesystem::exists(canary));
}

INSTANTIATE_TEST_SUITE_P(, HostileTorchFile, testing::Values(&zip_sample, &legacy_sample),
                         [](const auto& tested) { return tested.index == 0 ? "zip" : "legacy"; });

TEST(HostileTorchFiles, LargePicklesAreReadOrRefused) {
  const TempFolder folder;
  const auto refused = [&](const std::string& body) {
    return test::message_of<InputError>(
        [&] { read_torch_file(folder.write("x.bin", torch_zip(pickle(body)))); });
  };
  EXPECT_THAT(refused(std::string(8'000'000, '(')), HasSubstr("more than 4000000 operations"));
  EXPECT_THAT(refused(std::string(3'000'000, '(')), HasSubstr("3000000 marks"));
  EXPECT_THAT(refused(")" + std::string(3'000'000, '\x85')), HasSubstr("holds a tuple"));
  EXPECT_THAT(refused("X" + test::u32(10'000'000) + std::string(10'000'000, 'x')),
              HasSubstr("holds a string"));
  EXPECT_THAT(refused("c" + std::string(10'000'000, 'm') + "\nn\n"), HasSubstr("is not allowed"));
}

}  // namespace
}  // namespace krait
