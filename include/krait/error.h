// Errors. Exceptions cross the load, command-line and request boundaries only; kernels are
// noexcept.
#pragma once

#include <stdexcept>
#include <string>

namespace krait {

// What the user gave cannot be used: a file, a flag, a prompt; a model or a number of sequences
// that the machine or GPU has not the memory for, found out before anything is allocated. The
// message names the file, the field or flag, what was found and what was expected. The program
// exits with 2.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The machine failed us (I/O, memory or a device that ends in the middle of the work), or the model
// did (logits that are not finite). The program exits with 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A broken invariant of krait itself: prints the expression and place, then aborts.
[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace krait

#define KRAIT_CHECK(condition) \
  ((condition) ? (void)0 : ::krait::check_failed(#condition, __FILE__, __LINE__))
