// Threads of execution that hand over to each other by hand, all on one thread of the system.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace krait::cuda::twin {

// Not movable: others point to it.
class Fiber {
 public:
  Fiber();  // the system's own thread, as it runs
  // Runs entry(), which must not return, when first switched to. It has a stack of its own with an
  // inaccessible page below. Throws std::bad_alloc.
  explicit Fiber(void (*entry)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Goes on in `to`; returns when something switches back to this one, which must be running.
  void switch_to(Fiber& to);
  // Forgets where it was: the next switch to it starts entry() anew.
  void restart();

 private:
  friend void first_steps();

  void (*entry_)() = nullptr;
  std::byte* memory_ = nullptr;  // the guard page, then the stack
  size_t offset_ = 0;            // of the first frame from the stack's end
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
  // What the sanitizers know it by.
  const void* stack_bottom_ = nullptr;
  size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;
  void* tsan_fiber_ = nullptr;
};

}  // namespace krait::cuda::twin
