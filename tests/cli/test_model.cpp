#include "tests/cli/test_model.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

std::string make_folder() {
  std::string name = (fs::temp_directory_path() / "krait-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  return name;
}

struct Folder {
  Folder() {
    RandomCheckpoint checkpoint;
    checkpoint.vocab_rows = 330;  // padding rows
    checkpoint.vocab_size = 320;
    write_random_checkpoint(path, checkpoint);
  }
  ~Folder() { fs::remove_all(path); }
  std::string path = make_folder();
};

}  // namespace

const std::string& test_model() {
  static const Folder folder;
  return folder.path;
}

ModelCopy::ModelCopy() : path_(make_folder()) {
  fs::copy(test_model(), path_, fs::copy_options::recursive);
}

ModelCopy::~ModelCopy() { fs::remove_all(path_); }

void ModelCopy::replace(const std::string& name, const std::string& from,
                        const std::string& to) const {
  std::string bytes = read_file(file(name));
  const size_t at = bytes.find(from);
  ASSERT_NE(at, std::string::npos) << from << " is not in " << name;
  bytes.replace(at, from.size(), to);
  write_file(file(name), bytes);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace krait
