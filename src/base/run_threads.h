// The same work on several threads, once.
#pragma once

#include <functional>

namespace krait {

// Calls work(thread) for 0 to `threads` - 1 at the same time, the first on the caller's thread, and
// returns when all are done. None begins before all have been started. Throws what the first of
// them threw, Failure when the system gives no more threads.
void run_threads(int threads, const std::function<void(int thread)>& work);

}  // namespace krait
