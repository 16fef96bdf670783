// How much memory is left, told from the files of a machine that is made up.
#include "src/backend/cpu/memory_left.h"

#include <sys/resource.h>

#include "tests/support/temp_folder.h"

namespace krait {
namespace {

constexpr const char* kNoPages = "1 1 0 0 0 1 0\n";  // /proc/self/statm

class MemoryLeftTest : public testing::Test {
 protected:
  MemoryLeftTest() {
    machine.write("proc/meminfo", "MemTotal: 16000 kB\nMemFree: 10 kB\nMemAvailable:    9000 kB\n");
    machine.write("proc/self/statm", kNoPages);
  }
  MemoryLeft left() const { return host_memory_left(machine.path()); }

  test::TempFolder machine;
};

TEST_F(MemoryLeftTest, IsWhatIsAvailable) {
  EXPECT_EQ(left().bytes, 9000 * 1024);
  EXPECT_EQ(left().limit, "the memory available");
}

TEST_F(MemoryLeftTest, IsUnlimitedWhereNothingIsKnown) {
  const test::TempFolder empty;
  EXPECT_EQ(host_memory_left(empty.path()).bytes, std::numeric_limits<int64_t>::max());
}

TEST_F(MemoryLeftTest, IsLimitedByEveryControlGroupThatTheProcessIsIn) {
  machine.write("proc/self/cgroup", "0::/outer/inner\n");
  machine.write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  machine.write("sys/fs/cgroup/outer/inner/memory.current", "5\n");
  EXPECT_EQ(left().bytes, 9000 * 1024);
  machine.write("sys/fs/cgroup/outer/memory.max", "5000000\n");
  machine.write("sys/fs/cgroup/outer/memory.current", "4000000\n");
  EXPECT_EQ(left().bytes, 1'000'000);
  EXPECT_EQ(left().limit, "the limit of the control group");
  // Pages of files can go.
  machine.write("sys/fs/cgroup/outer/memory.stat",
                "anon 3000000\ninactive_file 600000\nactive_file 70000\n");
  EXPECT_EQ(left().bytes, 1'670'000);
  machine.write("sys/fs/cgroup/memory.max", "100\n");  // what a container sees of its own
  machine.write("sys/fs/cgroup/memory.current", "200\n");
  EXPECT_EQ(left().bytes, 0);
}

TEST_F(MemoryLeftTest, IsLimitedByControlGroupsOfVersionOne) {
  machine.write("proc/self/cgroup", "12:cpu,cpuacct:/a\n5:memory:/a\n0::/\n");
  machine.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000000\n");
  machine.write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000000\n");
  machine.write("sys/fs/cgroup/memory/a/memory.stat", "cache 5\ntotal_inactive_file 500000\n");
  EXPECT_EQ(left().bytes, 2'500'000);
  machine.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");  // none
  EXPECT_EQ(left().bytes, 9000 * 1024);
}

TEST_F(MemoryLeftTest, IsLimitedByTheLimitsOfTheProcess) {
  machine.write("proc/meminfo", "MemAvailable: 900000000000 kB\n");
  for (const auto& [resource, name] :
       {std::pair(RLIMIT_AS, "ulimit -v"), std::pair(RLIMIT_DATA, "ulimit -d")}) {
    rlimit before{};
    ASSERT_EQ(getrlimit(resource, &before), 0);
    rlimit limited = before;
    limited.rlim_cur = rlim_t{1} << 46;  // far above what the test, even sanitized, takes
    ASSERT_EQ(setrlimit(resource, &limited), 0);
    const MemoryLeft found = left();
    ASSERT_EQ(setrlimit(resource, &before), 0);
    EXPECT_EQ(found.bytes, (int64_t{1} << 46) - 4096) << name;
    EXPECT_NE(found.limit.find(name), std::string::npos) << found.limit;
  }
}

}  // namespace
}  // namespace krait
