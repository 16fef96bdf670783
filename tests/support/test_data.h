// Large data that tests use where it is there: it is not part of the repository.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace krait::test {

// The folder in KRAIT_TEST_DATA, else ../shared/data beside the source root (which a test knows as
// KRAIT_TEST_SOURCE_DIR); nothing where it is missing. Then skip, with a reason.
std::optional<std::filesystem::path> test_data_folder(const std::filesystem::path& source_root);

// A file in that folder, or nothing where it is missing.
std::optional<std::string> test_data_file(const std::filesystem::path& source_root,
                                          const std::string& below);

}  // namespace krait::test
