// A small random model on disk, made once per test program, and damaged copies of it.
#pragma once

#include <string>

namespace krait {

// Folder of the model; deleted at exit.
const std::string& test_model();

// A fresh copy of that folder to damage; deleted with the object.
class ModelCopy {
 public:
  ModelCopy();
  ~ModelCopy();
  ModelCopy(const ModelCopy&) = delete;
  ModelCopy& operator=(const ModelCopy&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  // Replaces the first `from` in a file; fails the test when it is not there.
  void replace(const std::string& name, const std::string& from, const std::string& to) const;

 private:
  std::string path_;
};

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);

}  // namespace krait
