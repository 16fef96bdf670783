#include "tests/support/test_data.h"

#include <cstdlib>

namespace krait::test {

std::optional<std::filesystem::path> test_data_folder(const std::filesystem::path& source_root) {
  const char* set = std::getenv("KRAIT_TEST_DATA");
  const std::filesystem::path folder =
      set != nullptr && *set != '\0' ? set : source_root.parent_path() / "shared" / "data";
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) return std::nullopt;
  return folder;
}

}  // namespace krait::test
