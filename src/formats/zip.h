// The ZIP container as PyTorch writes it: every member stored, not compressed.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace krait {

struct ZipMember {
  std::string_view name;            // "archive/data/0"; no "..", no leading slash
  std::span<const std::byte> data;  // without its header
};

// The members, sorted by name, as views into `file`. Refuses what a stored archive without gaps in
// its directory is not: a comment behind the end record, several disks, compression, encryption,
// names that differ between the two headers, that leave the archive or occur twice, and members
// that overlap or leave the file. Check sums are not looked at: PyTorch can be told not to compute
// them, and it would mean reading all the weights. `source` names the file in messages. Throws
// InputError.
std::vector<ZipMember> parse_zip(std::span<const std::byte> file, const std::string& source);

}  // namespace krait
