// Where the time of a model's steps goes: one line per kind of operation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace krait {

// Given to make_backend(), it is told of every operation the backend runs. It must outlive the
// backend. Not thread-safe, as the operations of a backend are not.
class Profile {
 public:
  struct Stage {
    std::string name;  // "in_proj", "scan", …
    int64_t calls = 0;
    double ms = 0;             // wall time
    double weight_bytes = 0;   // of weights, read once per call
    double multiply_adds = 0;  // of matrix products
  };

  // `name` is copied when it is met for the first time.
  void add(std::string_view name, double ms, double weight_bytes, double multiply_adds);
  void clear() { stages_.clear(); }
  const std::vector<Stage>& stages() const noexcept { return stages_; }  // in order of first use

 private:
  std::vector<Stage> stages_;
};

}  // namespace krait
