#include "src/backend/cpu/memory_left.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include <sys/resource.h>
#include <unistd.h>

namespace krait {
namespace {

// The number after `key` in a file of lines "key number …", or the first one of the file without a
// key. Nothing where it is not there: "max" is no number.
std::optional<int64_t> number_in(const std::string& path, const std::string& key = "") {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word;
    int64_t number = 0;
    if (!key.empty() && !(words >> word && word == key)) continue;
    if (words >> number) return number;
  }
  return std::nullopt;
}

// Where the files of one version of control groups are, and what they are called.
struct GroupFiles {
  std::string folder, limit, usage, inactive, active;
};

void look_at_group(const std::string& path, const GroupFiles& files, MemoryLeft& left) {
  const std::string folder = files.folder + path;
  const auto limit = number_in(folder + "/" + files.limit);
  const auto usage = number_in(folder + "/" + files.usage);
  if (!limit || !usage) return;
  int64_t used = *usage;
  for (const std::string& pages : {files.inactive, files.active})
    used -= number_in(folder + "/memory.stat", pages).value_or(0);
  const int64_t free =
      *limit - std::max<int64_t>(used, 0);  // a limit of none is the largest number
  if (free < left.bytes) left = {free, "the limit of the control group"};
}

// The group of the process and those that it lies in.
void look_at_groups(const std::string& root, MemoryLeft& left) {
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    GroupFiles files = {root + "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file",
                        "active_file"};
    if (controllers.find(",memory,") != std::string::npos)
      files = {root + "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
               "total_inactive_file", "total_active_file"};
    else if (controllers != ",,")
      continue;
    for (std::string path = line.substr(second + 1); !path.empty();
         path.resize(path.find_last_of('/')))
      look_at_group(path == "/" ? "" : path, files, left);
    look_at_group("", files, left);
  }
}

// `pages`: of those that count, the place in /proc/self/statm.
void look_at_rlimit(int resource, const std::string& root, int pages, const char* name,
                    MemoryLeft& left) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0 ||
      limit.rlim_cur >= static_cast<rlim_t>(INT64_MAX))
    return;
  std::ifstream file(root + "/proc/self/statm");
  int64_t used = 0;
  for (int i = 0; i <= pages; ++i) file >> used;
  const int64_t free = static_cast<int64_t>(limit.rlim_cur) - used * sysconf(_SC_PAGESIZE);
  if (file && free < left.bytes) left = {free, name};
}

}  // namespace

MemoryLeft host_memory_left(const std::string& root) {
  MemoryLeft left;
  if (const auto kilobytes = number_in(root + "/proc/meminfo", "MemAvailable:"))
    left = {*kilobytes * 1024, "the memory available"};
  look_at_groups(root, left);
  look_at_rlimit(RLIMIT_AS, root, 0, "the limit of the address space (ulimit -v)", left);
  look_at_rlimit(RLIMIT_DATA, root, 5, "the limit of data (ulimit -d)", left);
  left.bytes = std::max<int64_t>(left.bytes, 0);
  return left;
}

}  // namespace krait
