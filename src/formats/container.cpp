#include "src/formats/container.h"

#include <array>
#include <string_view>

#include "krait/error.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/formats/safetensors.h"

namespace krait {
namespace {

constexpr size_t kSniffedBytes = 64;
constexpr size_t kShownBytes = 16;

constexpr std::string_view kGguf = "GGUF";
constexpr std::string_view kZip = "PK\x03\x04";
// Before its own container, torch.save wrote pickles one after the other, the first of them a
// number that marks the format.
constexpr std::string_view kLegacyTorch =
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::string_view kLfsPointer = "version https://git-lfs";
constexpr std::array<std::string_view, 4> kWebPages = {"<!DOCTYPE", "<!doctype", "<html", "<?xml"};

// The length of a JSON object, then the object.
bool is_safetensors(std::string_view bytes) {
  if (bytes.size() < 9 || bytes[8] != '{') return false;
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  return length >= 2 && length <= kMaxSafetensorsHeader;
}

}  // namespace

std::optional<Container> container_of(const std::string& path) {
  const std::string bytes = first_bytes(path, kSniffedBytes);
  if (bytes.starts_with(kGguf)) return Container::gguf;
  if (bytes.starts_with(kZip) || bytes.starts_with(kLegacyTorch)) return Container::torch;
  if (is_safetensors(bytes)) return Container::safetensors;
  if (bytes.starts_with(kLfsPointer))
    throw InputError(path + " is a Git LFS pointer, not the file it stands for; `git lfs pull` " +
                     "brings that");
  for (const std::string_view start : kWebPages)
    if (bytes.starts_with(start))
      throw InputError(path + " is a web page; expected weights (the download went wrong)");
  return std::nullopt;
}

std::string beginning_of(const std::string& path) { return quote(first_bytes(path, kShownBytes)); }

}  // namespace krait
