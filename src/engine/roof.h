// What the machine can do at most, measured again around every test: other work on it lowers single
// figures, and the best is what counts.
#pragma once

#include "krait/engine.h"

namespace krait {

class Roof {
 public:
  explicit Roof(Engine& engine) : engine_(engine) {}

  void measure();

  double gb_s() const noexcept { return gb_s_; }        // reading memory
  double gflop_s() const noexcept { return gflop_s_; }  // products, two operations a multiply-add

  // Most memory of the process, without what measure() took.
  int64_t peak_rss() const;

 private:
  Engine& engine_;
  double gb_s_ = 0, gflop_s_ = 0;
  int64_t peak_rss_ = 0;
};

}  // namespace krait
