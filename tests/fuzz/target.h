// What the fuzzers and the test that runs their inputs share: one function per parser of files or
// lines from strangers. Whatever the bytes, a target returns or throws InputError; anything else
// (a crash, another exception, too much time or memory) is a finding.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "krait/tensor.h"

namespace krait::fuzz {

using Random = std::minstd_rand;
// Changes a few bytes of a text, its length included.
using MutateBytes = std::function<std::string(std::string)>;

struct Target {
  std::string name;
  void (*run)(std::string_view input);
  // Changes an input where blind changes would stop at the first check: counts and lengths stay
  // right. nullptr: blind changes do.
  std::string (*mutate)(std::string_view input, Random& random, const MutateBytes& bytes) = nullptr;
};

// All that are linked in.
std::vector<Target>& targets();

// Registers a target before main().
struct Registration {
  explicit Registration(Target target) { targets().push_back(std::move(target)); }
};

// Runs the target on a copy of the input, so that a sanitizer sees where it ends. Answers the
// message of the InputError, which is the good end of a bad input; empty for one that is taken.
std::string run(const Target& target, std::string_view input);

// The bytes as a file that has no place on a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  int descriptor_;
  std::string path_;
};

// Reads the first and the last elements as loading would.
void touch(const Tensor& tensor);

}  // namespace krait::fuzz
