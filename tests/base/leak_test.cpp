// In a build with the address sanitizer a leak must end a test; if it did not, none of the others
// would show one.
#include <cstdlib>

#include <gtest/gtest.h>

namespace krait {
namespace {

#if defined(__SANITIZE_ADDRESS__)
TEST(LeakSanitizer, NoticesALeak) {
  EXPECT_EXIT(
      {
        int* volatile lost = new int[100];
        lost = nullptr;
        (void)lost;
        std::exit(0);
      },
      testing::ExitedWithCode(1), "LeakSanitizer: detected memory leaks");
}
#endif

}  // namespace
}  // namespace krait
