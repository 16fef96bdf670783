#include "src/formats/mapped_file.h"

#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "krait/checkpoint.h"
#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::string refusal(const std::string& path) {
  const std::string message = test::message_of<InputError>([&] { MappedFile file(path); });
  EXPECT_THAT(message, HasSubstr(path));
  return message;
}

TEST(MappedFile, HoldsTheBytesOfTheFile) {
  const test::TempFolder folder;
  const std::string path = folder.write("a", "some bytes");
  const MappedFile file(path);
  EXPECT_EQ(file.path(), path);
  EXPECT_EQ(text_of(file), "some bytes");
}

TEST(MappedFile, KeepsItsAddressWhenMoved) {
  const test::TempFolder folder;
  MappedFile first(folder.write("a", "some bytes"));
  const std::byte* address = first.bytes().data();
  const MappedFile second(std::move(first));
  EXPECT_EQ(second.bytes().data(), address);
  EXPECT_EQ(text_of(second), "some bytes");
}

TEST(MappedFile, KnowsItsOwnBytes) {
  const test::TempFolder folder;
  const MappedFile a(folder.write("a", "aa")), b(folder.write("b", "bb"));
  EXPECT_TRUE(a.contains(a.bytes().data()));
  EXPECT_TRUE(a.contains(a.bytes().data() + 1));
  EXPECT_FALSE(a.contains(a.bytes().data() + 2));
  EXPECT_FALSE(a.contains(b.bytes().data()));
  EXPECT_FALSE(a.contains(nullptr));
}

TEST(MappedFile, NamesWhatIsWrong) {
  const test::TempFolder folder;
  EXPECT_THAT(refusal(folder.path("none")), HasSubstr("No such file"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("it is a folder"));
  EXPECT_THAT(refusal(folder.write("empty", "")), HasSubstr("is empty"));
  EXPECT_THAT(refusal(folder.write("file", "x") + "/below"), HasSubstr("Not a directory"));
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("not a regular file"));
  const std::string pipe = folder.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(refusal(pipe), HasSubstr("not a regular file"));
}

TEST(MappedFile, NamesAFileThatMayNotBeRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may read everything";
  const test::TempFolder folder;
  const std::string path = folder.write("secret", "x");
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  EXPECT_THAT(refusal(path), HasSubstr("Permission denied"));
}

// Which pages of this process's mapping are in its memory, by /proc/self/smaps.
int64_t resident_kilobytes(const MappedFile& file) {
  char start[32];
  std::snprintf(start, sizeof start, "%lx-",
                static_cast<unsigned long>(reinterpret_cast<uintptr_t>(file.bytes().data())));
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  while (std::getline(maps, line))
    if (line.starts_with(start))
      while (std::getline(maps, line))
        if (line.starts_with("Rss:")) return std::stoll(line.substr(4));
  return -1;
}

extern "C" void on_bus_error(int signal, siginfo_t* info, void*) {
  if (!survive_bus_error(info->si_addr)) ::signal(signal, SIG_DFL);
}

class ScopedBusHandler {
 public:
  ScopedBusHandler() {
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &action, &before_);
  }
  ~ScopedBusHandler() { ::sigaction(SIGBUS, &before_, nullptr); }

 private:
  struct sigaction before_ = {};
};

TEST(MappedFile, IsSurvivedWhenItIsCutShort) {
  const ScopedBusHandler handler;
  const test::TempFolder folder;
  const std::string path = folder.write("a", std::string(1 << 20, 'x'));
  const MappedFile other(folder.write("b", "bytes"));
  MappedFile first(path);
  const MappedFile file(std::move(first));
  EXPECT_NO_THROW(file.check_unchanged());
  EXPECT_EQ(file.bytes().back(), std::byte{'x'});
  ASSERT_EQ(::truncate(path.c_str(), 100), 0);
  EXPECT_EQ(file.bytes().back(), std::byte{0});
  EXPECT_THAT(test::message_of<Failure>([&] { file.check_unchanged(); }),
              AllOf(HasSubstr(path), HasSubstr("was changed")));
  EXPECT_NO_THROW(other.check_unchanged());
  EXPECT_EQ(text_of(other), "bytes");
}

// What a bad sector does: nobody has changed the file.
TEST(MappedFile, TellsOfAPageThatCannotBeRead) {
  const test::TempFolder folder;
  const MappedFile file(folder.write("a", "some bytes"));
  ASSERT_TRUE(survive_bus_error(file.bytes().data() + 3));
  EXPECT_EQ(text_of(file), std::string(10, '\0'));
  EXPECT_THAT(test::message_of<Failure>([&] { file.check_unchanged(); }),
              AllOf(HasSubstr(file.path()), HasSubstr("cannot read")));
}

TEST(MappedFile, ABusErrorElsewhereIsNotItsOwn) {
  const test::TempFolder folder;
  const std::byte* gone = nullptr;
  {
    const MappedFile file(folder.write("a", "some bytes"));
    gone = file.bytes().data();
  }
  EXPECT_FALSE(survive_bus_error(gone));
  EXPECT_FALSE(survive_bus_error(nullptr));
  EXPECT_FALSE(survive_bus_error(&folder));
}

TEST(MappedFile, FindsOutThatItWasWrittenTo) {
  const test::TempFolder folder;
  const std::string path = folder.write("a", "some bytes");
  const MappedFile file(path);
  const timespec times[2] = {{1, 0}, {2, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_THAT(test::message_of<Failure>([&] { file.check_unchanged(); }), HasSubstr("was changed"));
  EXPECT_THROW(parse_mapped(file, [](auto) -> int { throw InputError("a fault in it"); }), Failure);
}

TEST(MappedFile, ReleasesWholePagesInsideTheRange) {
  const test::TempFolder folder;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t pages = 64;
  const MappedFile file(folder.write("a", std::string(pages * page, 'x')));
  size_t sum = 0;
  for (const std::byte byte : file.bytes()) sum += static_cast<size_t>(byte);
  ASSERT_EQ(sum, pages * page * 'x');
  const int64_t kilobytes = static_cast<int64_t>(pages * page / 1024);
  ASSERT_EQ(resident_kilobytes(file), kilobytes);

  const auto page_kilobytes = static_cast<int64_t>(page / 1024);
  file.release(file.bytes().subspan(1, page - 1));             // no whole page
  file.release(file.bytes().subspan(page + 1, 2 * page - 2));  // nor here
  EXPECT_EQ(resident_kilobytes(file), kilobytes);
  file.release(file.bytes().subspan(1, 3 * page));  // pages 1 and 2
  EXPECT_EQ(resident_kilobytes(file), kilobytes - 2 * page_kilobytes);
  file.release({});
  file.release(file.bytes());
  EXPECT_EQ(resident_kilobytes(file), 0);
  EXPECT_EQ(text_of(file), std::string(pages * page, 'x'));  // back from the file
}

}  // namespace
}  // namespace krait
