#include "src/base/wait_for_input.h"

#include <cerrno>

#include <poll.h>

namespace krait {

bool wait_for_input(int descriptor, const std::atomic<bool>& stop) {
  constexpr int kLookMs =
      200;  // a signal ends poll() at once, but for those that only `stop` shows
  while (!stop) {
    pollfd ready = {descriptor, POLLIN, 0};
    const int found = ::poll(&ready, 1, kLookMs);
    if (found > 0 || (found < 0 && errno != EINTR && errno != EAGAIN)) return true;
  }
  return false;
}

}  // namespace krait
