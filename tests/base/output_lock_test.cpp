// Two writers of one file.
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/output_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class OutputLock : public testing::Test {
 protected:
  void write(const std::string& text) const {
    OutputFile file(path_);
    file.write(text.data(), text.size());
    file.commit();
  }
  std::string read() const {
    std::ifstream in(path_);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  bool part_is_left() const { return fs::exists(path_ + ".part"); }

  test::TempFolder folder_;
  std::string path_ = folder_.path("out");
};

TEST_F(OutputLock, TheSecondWriterIsRefusedAndTheFirstUndisturbed) {
  auto first = std::make_unique<OutputFile>(path_);
  first->write("whole", 5);
  EXPECT_THAT(test::message_of<InputError>([&] { write("other"); }),
              HasSubstr(path_ + " is being written by another process"));
  first->commit();
  EXPECT_EQ(read(), "whole");
  write("next");
  EXPECT_EQ(read(), "next");
  EXPECT_FALSE(part_is_left());
}

TEST_F(OutputLock, WhoWritesForAMomentIsWaitedFor) {
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&, i] {
      for (int j = 0; j < 25; ++j) write(std::string(1000, static_cast<char>('a' + i)));
    });
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(read(), std::string(1000, read()[0]));
  EXPECT_FALSE(part_is_left());
}

TEST_F(OutputLock, AKilledWriterLeavesNoLock) {
  const pid_t child = ::fork();
  if (child == 0) {
    OutputFile file(path_);
    const std::string much(1 << 20, 'x');
    file.write(much.data(), much.size());
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(part_is_left());
  EXPECT_FALSE(fs::exists(path_));
  write("whole");
  EXPECT_EQ(read(), "whole");
  EXPECT_FALSE(part_is_left());
}

TEST_F(OutputLock, WhatIsInTheWayIsLeftAlone) {
  const std::string precious = folder_.write("precious", "precious");
  const auto expect_refused = [&](const char* why) {
    EXPECT_THAT(test::message_of<InputError>([&] { write("x"); }),
                HasSubstr("cannot create " + path_))
        << why;
    fs::remove(path_ + ".part");
  };
  fs::create_symlink(precious, path_ + ".part");
  expect_refused("a link");
  ASSERT_EQ(::mkfifo((path_ + ".part").c_str(), 0600), 0);
  expect_refused("a pipe");
  fs::create_hard_link(precious, path_ + ".part");
  EXPECT_THAT(test::message_of<InputError>([&] { write("x"); }),
              HasSubstr(path_ + ".part is in the way"));
  std::ifstream in(precious);
  std::string text;
  in >> text;
  EXPECT_EQ(text, "precious");
}

}  // namespace
}  // namespace krait
