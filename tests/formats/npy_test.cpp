#include "src/formats/npy.h"

#include <csignal>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

size_t files_in(const test::TempFolder& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder.path()), {}));
}

// The header as numpy.lib.format describes version 1.0.
void expect_header(const std::string& file, const std::string& shape, size_t data_bytes) {
  ASSERT_GE(file.size(), 10);
  EXPECT_EQ(file.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t length = static_cast<uint8_t>(file[8]) + 256u * static_cast<uint8_t>(file[9]);
  EXPECT_EQ((10 + length) % 64, 0);
  ASSERT_EQ(file.size(), 10 + length + data_bytes);
  const std::string header = file.substr(10, length);
  EXPECT_TRUE(
      header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }"));
  EXPECT_EQ(header.back(), '\n');
}

TEST(NpyWriter, WritesRowsInOrder) {
  const test::TempFolder folder;
  const std::string path = folder.path("a.npy");
  NpyWriter writer(path, 3, 2);
  const std::vector<float> values = {1, 2, 3.5f, -4, 5e-20f, 6};
  for (size_t row = 0; row < 3; ++row) writer.write_row(std::span(values).subspan(2 * row, 2));
  writer.finish();
  const std::string file = read_file(path);
  expect_header(file, "(3, 2)", 24);
  EXPECT_EQ(std::memcmp(file.data() + file.size() - 24, values.data(), 24), 0);
  EXPECT_EQ(files_in(folder), 1);
}

TEST(NpyWriter, AlignsTheDataWhateverTheShape) {
  const test::TempFolder folder;
  int64_t rows = 1;
  for (int digits = 1; digits <= 15; ++digits, rows *= 10) {
    const std::string path = folder.path(std::to_string(digits));
    NpyWriter writer(path, 0, rows);
    writer.finish();
    expect_header(read_file(path), "(0, " + std::to_string(rows) + ")", 0);
  }
}

TEST(NpyWriter, ReplacesAnOlderFileOnlyWhenFinished) {
  const test::TempFolder folder;
  const std::string path = folder.write("a.npy", "old");
  const std::vector<float> row = {1, 2};
  {
    NpyWriter abandoned(path, 2, 2);
    abandoned.write_row(row);
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files_in(folder), 1);
  NpyWriter writer(path, 1, 2);
  writer.write_row(row);
  EXPECT_EQ(read_file(path), "old");
  writer.finish();
  expect_header(read_file(path), "(1, 2)", 8);
  EXPECT_EQ(files_in(folder), 1);
}

TEST(NpyWriter, NamesAPathThatCannotBeCreated) {
  const test::TempFolder folder;
  const auto refusal = [](const std::string& path) {
    const std::string message = test::message_of<InputError>([&] { NpyWriter writer(path, 1, 1); });
    EXPECT_THAT(message, HasSubstr("cannot"));
    EXPECT_THAT(message, HasSubstr(path));
    return message;
  };
  EXPECT_THAT(refusal(folder.path("none/a.npy")), HasSubstr("No such file"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("not a regular file"));
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("not a regular file"));
  EXPECT_THAT(refusal(""), HasSubstr("its name is empty"));
}

TEST(NpyWriter, FailsCleanlyWhenTheFileCannotGrow) {
  const test::TempFolder folder;
  const std::string path = folder.path("a.npy");
  // A file size limit stands in for a full disk.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 64 << 10;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = test::message_of<Failure>([&] {
    NpyWriter writer(path, 1000, 1000);
    const std::vector<float> row(1000, 1.0f);
    for (int i = 0; i < 1000; ++i) writer.write_row(row);
    writer.finish();
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, AllOf(HasSubstr("cannot write " + path), HasSubstr("File too large")));
  EXPECT_EQ(files_in(folder), 0);
}

TEST(NpyWriter, FailsCleanlyWhenTheLastBufferDoesNotFit) {
  const test::TempFolder folder;
  const std::string path = folder.path("a.npy");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  const std::string message = test::message_of<Failure>([&] {
    NpyWriter writer(path, 1, 1);
    const std::vector<float> row(1, 1.0f);
    writer.write_row(row);  // stays in the buffer
    writer.finish();
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, HasSubstr("cannot write " + path));
  EXPECT_EQ(files_in(folder), 0);
}

TEST(NpyWriterDeathTest, ChecksTheShape) {
  const test::TempFolder folder;
  const std::vector<float> row(3, 1.0f);
  EXPECT_DEATH(NpyWriter(folder.path("a"), 1, 2).write_row(row), "cols_");
  EXPECT_DEATH(NpyWriter(folder.path("a"), 0, 3).write_row(row), "rows_left_");
  EXPECT_DEATH(NpyWriter(folder.path("a"), 1, 3).finish(), "rows_left_");
}

}  // namespace
}  // namespace krait
