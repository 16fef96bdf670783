#include "src/engine/batch_results.h"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::message_of;
using testing::HasSubstr;

class BatchResultsTest : public testing::Test {
 protected:
  std::string path() { return folder_.path("results.jsonl"); }
  void write(const std::string& bytes) { std::ofstream(path()) << bytes; }
  std::string read() {
    std::ostringstream out;
    out << std::ifstream(path()).rdbuf();
    return out.str();
  }
  static std::string line(int64_t number, const std::string& text, bool failed = false) {
    return R"({"id":")" + BatchResults::id_of(number, text) + R"(","error":)" +
           (failed ? R"({"code":"x"}})" : "null}");
  }

  test::TempFolder folder_;
};

TEST_F(BatchResultsTest, RemembersWhatIsFinished) {
  {
    BatchResults results(path());
    EXPECT_FALSE(results.is_finished(3, "three"));
    results.append(line(3, "three"));
    results.append(line(1, "one", true));
    results.close();
  }
  BatchResults results(path());
  EXPECT_TRUE(results.is_finished(3, "three"));
  EXPECT_TRUE(results.is_finished(1, "one"));
  EXPECT_FALSE(results.is_finished(2, "two"));
  EXPECT_FALSE(results.is_finished(4000000000, "far"));
  EXPECT_EQ(results.found_finished(), 2);
  EXPECT_EQ(results.found_failed(), 1);
  results.append(line(2, "two"));
  EXPECT_EQ(read(), line(3, "three") + "\n" + line(1, "one", true) + "\n" + line(2, "two") + "\n");
}

TEST_F(BatchResultsTest, EveryTornLastLineIsCutOff) {
  const std::string whole = line(1, "one") + "\n", next = line(2, "two");
  for (size_t length = 0; length <= next.size(); ++length) {
    write(whole + next.substr(0, length));
    BatchResults results(path());
    EXPECT_EQ(results.repaired_bytes(), static_cast<int64_t>(length));
    EXPECT_TRUE(results.is_finished(1, "one"));
    EXPECT_FALSE(results.is_finished(2, "two"));
    EXPECT_EQ(read(), whole);
    results.append(next);
    EXPECT_EQ(read(), whole + next + "\n");
  }
}

TEST_F(BatchResultsTest, RefusesAFileOfSomethingElse) {
  for (const std::string& bytes :
       {std::string("hello\n"), std::string("{}\n"), std::string("\n"),
        std::string(R"({"id":"krait-0-00","error":null})") + "\n",
        std::string(R"({"id":"krait-x-00","error":null})") + "\n",
        std::string(R"({"id":"krait-5","error":null})") + "\n",
        std::string(R"({"id":"krait-999999999999999999-0","error":null})") + "\n",
        line(1, "a").substr(0, 20) + "\n"}) {
    write(bytes);
    EXPECT_THAT(message_of<InputError>([&] { BatchResults results(path()); }),
                HasSubstr("line 1 is no result of krait batch"))
        << bytes;
    EXPECT_EQ(read(), bytes);
  }
}

TEST_F(BatchResultsTest, RefusesTwoAnswersToOneLine) {
  write(line(1, "a") + "\n" + line(1, "a") + "\n");
  EXPECT_THAT(message_of<InputError>([&] { BatchResults results(path()); }),
              HasSubstr("line 2 answers line 1 of the input a second time"));
}

TEST_F(BatchResultsTest, RefusesResultsOfAnotherInput) {
  write(line(1, "a") + "\n");
  BatchResults results(path());
  EXPECT_THAT(message_of<InputError>([&] { results.is_finished(1, "b"); }),
              HasSubstr("the result for line 1 answers another text"));
}

TEST_F(BatchResultsTest, RefusesASecondWriter) {
  BatchResults first(path());
  EXPECT_THAT(message_of<InputError>([&] { BatchResults second(path()); }),
              HasSubstr("being written by another process"));
}

TEST_F(BatchResultsTest, RefusesWhatIsNoFile) {
  EXPECT_THAT(message_of<InputError>([&] { BatchResults results("/dev/null"); }),
              HasSubstr("expected a regular file"));
  EXPECT_THAT(message_of<InputError>([&] { BatchResults results(folder_.path("no/such")); }),
              HasSubstr("cannot open"));
}

}  // namespace
}  // namespace krait
