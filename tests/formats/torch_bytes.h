// PyTorch files by hand, so that every byte of them can be wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace krait::test {

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
inline std::string u16(size_t value) { return little_endian(static_cast<uint16_t>(value)); }
inline std::string u32(size_t value) { return little_endian(static_cast<uint32_t>(value)); }
inline std::string u64(size_t value) { return little_endian(static_cast<uint64_t>(value)); }

// ---- pickles, each piece leaving one value on the stack ----

inline std::string text(const std::string& value) { return "X" + u32(value.size()) + value; }
inline std::string integer(int64_t value) { return "\x8a\x08" + little_endian(value); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string bytes = "(";
  for (const std::string& item : items) bytes += item;
  return bytes + "t";
}
inline std::string integers(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (const int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + tuple(arguments) + "R";
}
inline std::string ordered_dict() { return call(global("collections", "OrderedDict"), {}); }
inline std::string storage(const std::string& type, const std::string& key, int64_t numel) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(numel)}) +
         "Q";
}
inline std::string tensor(const std::string& of_storage, int64_t offset,
                          const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  return call(
      global("torch._utils", "_rebuild_tensor_v2"),
      {of_storage, integer(offset), integers(shape), integers(strides), "\x89", ordered_dict()});
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string bytes = "}(";
  for (const auto& [key, value] : items) bytes += text(key) + value;
  return bytes + "u";
}
inline std::string pickle(const std::string& body) { return "\x80\x02" + body + "."; }

// ---- ZIP archives ----

struct ZipPart {
  std::string name;
  std::string data;
  std::string local_extra = {};
  std::string central_extra = {};
  std::optional<std::string> local_name = {};
  uint16_t flags = 0x808;
  uint16_t method = 0;
  uint16_t local_method = 0;
  std::optional<uint32_t> packed = {};  // other than the size of the data
  std::optional<uint32_t> size = {};
  std::optional<uint32_t> offset = {};
};

inline std::string local_header(const ZipPart& part) {
  const std::string name = part.local_name.value_or(part.name);
  return "PK\3\4" + u16(0) + u16(part.flags) + u16(part.local_method) + u32(0) + u32(0) + u32(0) +
         u32(0) + u16(name.size()) + u16(part.local_extra.size()) + name + part.local_extra;
}

inline std::string central_header(const ZipPart& part, size_t offset) {
  const auto size = static_cast<uint32_t>(part.data.size());
  return "PK\1\2" + u16(0) + u16(0) + u16(part.flags) + u16(part.method) + u32(0) + u32(0) +
         u32(part.packed.value_or(part.size.value_or(size))) + u32(part.size.value_or(size)) +
         u16(part.name.size()) + u16(part.central_extra.size()) + u16(0) + u16(0) + u16(0) +
         u32(0) + u32(part.offset.value_or(static_cast<uint32_t>(offset))) + part.name +
         part.central_extra;
}

// The ZIP64 end record and its locator.
inline std::string zip64_end(size_t count, size_t size, size_t offset) {
  return "PK\6\6" + u64(44) + u16(0) + u16(0) + u32(0) + u32(0) + u64(count) + u64(count) +
         u64(size) + u64(offset) + "PK\6\7" + u32(0) + u64(offset + size) + u32(1);
}

inline std::string zip_end(size_t count, size_t size, size_t offset) {
  return std::string("PK\5\6") + u32(0) + u16(count) + u16(count) + u32(size) + u32(offset) +
         u16(0);
}

inline std::string zip(const std::vector<ZipPart>& parts, bool zip64 = false) {
  std::string file, directory;
  for (const ZipPart& part : parts) {
    directory += central_header(part, file.size());
    file += local_header(part) + part.data;
  }
  const size_t offset = file.size(), size = directory.size(), count = parts.size();
  file += directory;
  if (zip64) file += zip64_end(count, size, offset);
  return file + (zip64 ? zip_end(0xffff, 0xffffffff, 0xffffffff) : zip_end(count, size, offset));
}

// The file with these bytes in the place of as many at `at` (counted from the end if negative).
inline std::string patched(std::string file, std::ptrdiff_t at, const std::string& bytes) {
  const auto place = static_cast<size_t>(at < 0 ? std::ssize(file) + at : at);
  return file.replace(place, bytes.size(), bytes);
}

// ---- whole files ----

struct StoredBytes {
  std::string key;
  std::string bytes;
};

inline std::string torch_zip(const std::string& data_pkl,
                             const std::vector<StoredBytes>& storages = {},
                             const std::vector<ZipPart>& more = {}) {
  std::vector<ZipPart> parts = {{"archive/data.pkl", data_pkl}, {"archive/version", "3\n"}};
  for (const StoredBytes& s : storages) parts.push_back({"archive/data/" + s.key, s.bytes});
  parts.insert(parts.end(), more.begin(), more.end());
  return zip(parts);
}

inline const std::string kLegacyMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
                                      15);

inline std::string legacy_system(const std::string& little = "\x88") {
  return pickle(dict({{"protocol_version", integer(1001)}, {"little_endian", little}}));
}

inline std::string legacy_keys(const std::vector<std::string>& keys) {
  std::string items = "](";
  for (const std::string& key : keys) items += text(key);
  return pickle(items + "e");
}

}  // namespace krait::test
