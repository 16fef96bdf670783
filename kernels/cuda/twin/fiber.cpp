#include "kernels/cuda/twin/fiber.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>

#include <sys/mman.h>
#include <unistd.h>

#include "kernels/cuda/twin/sanitizers.h"

#if defined(__x86_64__)
// Keeps the registers that a call preserves on the stack, and the stack in *keep.
extern "C" void krait_twin_switch(void** keep, void* stack);
asm(R"(
  .text
  .p2align 4
  .hidden krait_twin_switch
  .globl krait_twin_switch
  .type krait_twin_switch, @function
krait_twin_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size krait_twin_switch, .-krait_twin_switch
)");
#endif

namespace krait::cuda::twin {

namespace {

#if defined(KRAIT_TWIN_ASAN) || defined(KRAIT_TWIN_TSAN)
constexpr size_t kStackBytes = size_t{256} << 10;
#else
constexpr size_t kStackBytes = size_t{64} << 10;
#endif

// The two ends of the switch in progress on this thread of the system.
thread_local Fiber* switched_from = nullptr;
thread_local Fiber* switched_to = nullptr;

size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

void first_steps() {
#if defined(KRAIT_TWIN_ASAN)
  // Only here does the system's own stack become known.
  __sanitizer_finish_switch_fiber(nullptr, &switched_from->stack_bottom_,
                                  &switched_from->stack_bytes_);
#endif
  switched_to->entry_();
}

Fiber::Fiber() {
#if defined(KRAIT_TWIN_TSAN)
  tsan_fiber_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(void (*entry)()) : entry_(entry), stack_bytes_(kStackBytes) {
  // Stacks that begin at the same place of their pages would share a few sets of the cache.
  static std::atomic<size_t> fibers = 0;
  offset_ = fibers++ * 320 % 4096;
  void* memory = mmap(nullptr, page_bytes() + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  mprotect(memory_, page_bytes(), PROT_NONE);
  stack_bottom_ = memory_ + page_bytes();
#if defined(KRAIT_TWIN_TSAN)
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
  restart();
}

Fiber::~Fiber() {
  if (!memory_) return;
#if defined(KRAIT_TWIN_TSAN)
  __tsan_destroy_fiber(tsan_fiber_);
#endif
#if defined(KRAIT_TWIN_ASAN)
  __asan_unpoison_memory_region(stack_bottom_, stack_bytes_);
#endif
  munmap(memory_, page_bytes() + kStackBytes);
}

void Fiber::restart() {
#if defined(KRAIT_TWIN_ASAN)
  __asan_unpoison_memory_region(stack_bottom_, stack_bytes_);
#endif
  fake_stack_ = nullptr;
  std::byte* bottom = memory_ + page_bytes();
#if defined(__x86_64__)
  // As if first_steps had been interrupted before its first instruction: six registers, its
  // address, and no caller.
  void* frame[8] = {};
  const auto first = &first_steps;
  std::memcpy(&frame[6], &first, sizeof first);
  stack_pointer_ = bottom + kStackBytes - offset_ - sizeof frame;
  std::memcpy(stack_pointer_, frame, sizeof frame);
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = bottom;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, first_steps, 0);
#endif
}

void Fiber::switch_to(Fiber& to) {
  switched_from = this;
  switched_to = &to;
#if defined(KRAIT_TWIN_ASAN)
  __sanitizer_start_switch_fiber(&fake_stack_, to.stack_bottom_, to.stack_bytes_);
#endif
#if defined(KRAIT_TWIN_TSAN)
  __tsan_switch_to_fiber(to.tsan_fiber_, 0);
#endif
#if defined(__x86_64__)
  krait_twin_switch(&stack_pointer_, to.stack_pointer_);
#else
  swapcontext(&context_, &to.context_);
#endif
#if defined(KRAIT_TWIN_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

}  // namespace krait::cuda::twin
