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

std::optional<std::string> test_data_file(const std::filesystem::path& source_root,
                                          const std::string& below) {
  const auto data = test_data_folder(source_root);
  if (!data || !std::filesystem::exists(*data / below)) return std::nullopt;
  return (*data / below).string();
}

}  // namespace krait::test
