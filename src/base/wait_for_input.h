// Waiting for a pipe or a terminal without missing a signal.
#pragma once

#include <atomic>

namespace krait {

// Waits until the descriptor has something to read, its end or an error included. False as soon as
// `stop` is set, by a handler of signals for instance: also by one that ran in another thread, or
// just before the waiting began.
bool wait_for_input(int descriptor, const std::atomic<bool>& stop);

}  // namespace krait
