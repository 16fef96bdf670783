#include "krait/error.h"

#include <cstdio>
#include <cstdlib>

namespace krait {

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "krait: internal error: %s does not hold (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace krait
