#include "src/formats/zip.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "krait/error.h"
#include "src/base/json.h"

namespace krait {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocatorSignature = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22;  // the fixed parts
constexpr uint64_t kEnd64Bytes = 56, kLocatorBytes = 20;
constexpr uint16_t kZip64Extra = 1;
constexpr uint16_t kEncryptionFlags = 0x2041;  // encrypted, strongly encrypted, masked headers

// Where `at` + sizeof(T) is known to lie inside.
template <class T>
T load(Bytes bytes, uint64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// A field that ZIP64 widens: all ones where the true value stands elsewhere.
template <class T>
bool widened(T field) {
  return field == std::numeric_limits<T>::max();
}

struct Directory {
  uint64_t begin, end, count;
};

struct Entry {
  ZipMember member;
  uint64_t begin, end;  // local header and data
};

class Reader {
 public:
  Reader(Bytes file, const std::string& source) : file_(file), source_(source) {}
  std::vector<ZipMember> read() const;

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw InputError(source_ + ": ZIP archive: " + what);
  }
  Directory find_directory() const;
  Directory find_directory64(uint64_t locator) const;
  Directory checked(const Directory& directory, uint64_t expected_end) const;
  Entry read_entry(uint64_t& at, const Directory& directory) const;
  void widen(Bytes extra, const std::string& name, uint64_t& packed, uint64_t& size,
             uint64_t& local) const;
  void locate(Entry& entry, uint64_t size, const Directory& directory) const;
  void check_stored(uint16_t flags, uint16_t method, std::string_view name) const;
  void check_name(std::string_view name) const;
  void check_overlap(std::vector<Entry>& entries) const;

  Bytes file_;
  const std::string& source_;
};

std::string range(uint64_t begin, uint64_t end) {
  return std::to_string(begin) + " to " + std::to_string(end);
}

Directory Reader::checked(const Directory& directory, uint64_t expected_end) const {
  const auto [begin, end, count] = directory;
  if (begin > end || end != expected_end)
    refuse("its central directory lies at " + range(begin, end) + "; expected it to end at " +
           std::to_string(expected_end) + ", where the end records begin");
  if (count > (end - begin) / kCentralBytes)
    refuse("it counts " + std::to_string(count) + " members in a central directory of " +
           std::to_string(end - begin) + " bytes");
  return directory;
}

// An archive comment is refused, so the end record can only lie in one place.
Directory Reader::find_directory() const {
  const uint64_t at = file_.size() - kEndBytes;
  if (file_.size() < kEndBytes || load<uint32_t>(file_, at) != kEndSignature)
    refuse(
        "no end-of-central-directory record in the last 22 bytes; it is cut short, or something "
        "follows it");
  const auto comment = load<uint16_t>(file_, at + 20);
  if (comment != 0)
    refuse("a comment of " + std::to_string(comment) + " bytes is announced after its end");
  const auto disk_count = load<uint16_t>(file_, at + 8);
  const auto count = load<uint16_t>(file_, at + 10);
  const auto size = load<uint32_t>(file_, at + 12);
  const auto offset = load<uint32_t>(file_, at + 16);
  if (load<uint32_t>(file_, at + 4) != 0 || disk_count != count)
    refuse("it is one of several disks; expected one file");
  const bool has_locator =
      at >= kLocatorBytes && load<uint32_t>(file_, at - kLocatorBytes) == kLocatorSignature;
  if (!has_locator) return checked({offset, uint64_t{offset} + size, count}, at);

  const Directory wide = find_directory64(at - kLocatorBytes);
  const bool agree = (widened(count) || count == wide.count) &&
                     (widened(size) || size == wide.end - wide.begin) &&
                     (widened(offset) || offset == wide.begin);
  if (!agree) refuse("its end record and its ZIP64 end record disagree");
  return wide;
}

Directory Reader::find_directory64(uint64_t locator) const {
  const auto at = load<uint64_t>(file_, locator + 8);
  const bool fits = locator >= kEnd64Bytes && at <= locator - kEnd64Bytes;
  if (!fits || load<uint32_t>(file_, at) != kEnd64Signature)
    refuse("no ZIP64 end record at " + std::to_string(at) + ", where its locator points");
  if (load<uint64_t>(file_, at + 4) != locator - at - 12)
    refuse("its ZIP64 end record has " + std::to_string(load<uint64_t>(file_, at + 4)) +
           " bytes; expected " + std::to_string(locator - at - 12));
  const auto count = load<uint64_t>(file_, at + 32);
  if (load<uint32_t>(file_, locator + 4) != 0 || load<uint32_t>(file_, locator + 16) > 1 ||
      load<uint64_t>(file_, at + 16) != 0 || load<uint64_t>(file_, at + 24) != count)
    refuse("it is one of several disks; expected one file");
  const auto size = load<uint64_t>(file_, at + 40);
  const auto offset = load<uint64_t>(file_, at + 48);
  uint64_t end = 0;
  if (__builtin_add_overflow(offset, size, &end))
    refuse("its central directory at " + std::to_string(offset) + " has " + std::to_string(size) +
           " bytes, more than 64 bits can count");
  return checked({offset, end, count}, at);
}

void Reader::check_stored(uint16_t flags, uint16_t method, std::string_view name) const {
  if ((flags & kEncryptionFlags) != 0) refuse("member " + quote(name) + " is encrypted");
  if (method != 0)
    refuse("member " + quote(name) + " is compressed (method " + std::to_string(method) +
           "); expected it stored, as torch.save writes it (TorchScript archives are not read)");
}

void Reader::check_name(std::string_view name) const {
  bool good = !name.empty() && name.find_first_of(std::string_view("\\\0", 2)) == name.npos;
  for (size_t begin = 0; good && begin < name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    good = !part.empty() && part != "." && part != "..";
    begin = end + 1;
  }
  if (!good) refuse("member name " + quote(name) + "; expected a path inside the archive");
}

// The ZIP64 extra field holds those of the three values that the header could not.
void Reader::widen(Bytes extra, const std::string& name, uint64_t& packed, uint64_t& size,
                   uint64_t& local) const {
  std::vector<uint64_t*> wanted;
  for (uint64_t* value : {&size, &packed, &local})
    if (widened(static_cast<uint32_t>(*value))) wanted.push_back(value);
  while (extra.size() >= 4) {
    const auto kind = load<uint16_t>(extra, 0);
    const size_t length = load<uint16_t>(extra, 2);
    extra = extra.subspan(4);
    if (length > extra.size()) refuse("member " + name + ": an extra field leaves its header");
    if (kind == kZip64Extra && !wanted.empty()) {
      if (length < 8 * wanted.size())
        refuse("member " + name + ": its ZIP64 extra field has " + std::to_string(length) +
               " bytes; expected at least " + std::to_string(8 * wanted.size()));
      for (size_t i = 0; i < wanted.size(); ++i) *wanted[i] = load<uint64_t>(extra, 8 * i);
      return;
    }
    extra = extra.subspan(length);
  }
  if (!wanted.empty()) refuse("member " + name + " needs a ZIP64 extra field; there is none");
}

// Reads one central header and moves `at` behind it.
Entry Reader::read_entry(uint64_t& at, const Directory& directory) const {
  const uint64_t room = directory.end - at;
  if (room < kCentralBytes || load<uint32_t>(file_, at) != kCentralSignature)
    refuse("no central header at " + std::to_string(at));
  const uint64_t name_bytes = load<uint16_t>(file_, at + 28);
  const uint64_t extra_bytes = load<uint16_t>(file_, at + 30);
  const uint64_t length = kCentralBytes + name_bytes + extra_bytes + load<uint16_t>(file_, at + 32);
  if (length > room)
    refuse("the central header at " + std::to_string(at) + " leaves the central directory");
  const std::string_view name(reinterpret_cast<const char*>(&file_[at + kCentralBytes]),
                              name_bytes);
  check_name(name);
  check_stored(load<uint16_t>(file_, at + 8), load<uint16_t>(file_, at + 10), name);
  uint64_t packed = load<uint32_t>(file_, at + 20);
  uint64_t size = load<uint32_t>(file_, at + 24);
  uint64_t local = load<uint32_t>(file_, at + 42);
  widen(file_.subspan(at + kCentralBytes + name_bytes, extra_bytes), quote(name), packed, size,
        local);
  if (packed != size)
    refuse("member " + quote(name) + " is stored, but has " + std::to_string(packed) +
           " bytes in the archive and " + std::to_string(size) + " outside");
  at += length;
  Entry entry{{name, {}}, local, 0};
  locate(entry, size, directory);
  return entry;
}

// Through the local header, whose extra field has a length of its own. Its sizes and check sum may
// be 0 (they then follow the data), so only its name and method are compared.
void Reader::locate(Entry& entry, uint64_t size, const Directory& directory) const {
  const std::string_view name = entry.member.name;
  const uint64_t at = entry.begin;
  if (directory.begin < kLocalBytes || at > directory.begin - kLocalBytes ||
      load<uint32_t>(file_, at) != kLocalSignature)
    refuse("member " + quote(name) + ": no local header at " + std::to_string(at));
  const uint64_t name_bytes = load<uint16_t>(file_, at + 26);
  const uint64_t data = at + kLocalBytes + name_bytes + load<uint16_t>(file_, at + 28);
  if (data > directory.begin || size > directory.begin - data)
    refuse("member " + quote(name) + ": " + std::to_string(size) + " bytes at " +
           std::to_string(data) + " reach into the central directory at " +
           std::to_string(directory.begin));
  const std::string_view local_name(reinterpret_cast<const char*>(file_.data() + at + kLocalBytes),
                                    name_bytes);
  if (local_name != name)
    refuse("member " + quote(name) + " is called " + quote(local_name) + " in its local header");
  check_stored(load<uint16_t>(file_, at + 6), load<uint16_t>(file_, at + 8), name);
  entry.member.data = file_.subspan(data, size);
  entry.end = data + size;
}

void Reader::check_overlap(std::vector<Entry>& entries) const {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < entries.size(); ++i)
    if (entries[i].begin < entries[i - 1].end)
      refuse("members " + quote(entries[i - 1].member.name) + " and " +
             quote(entries[i].member.name) + " overlap");
}

std::vector<ZipMember> Reader::read() const {
  const Directory directory = find_directory();
  std::vector<Entry> entries;
  entries.reserve(directory.count);
  uint64_t at = directory.begin;
  for (uint64_t i = 0; i < directory.count; ++i) entries.push_back(read_entry(at, directory));
  if (at != directory.end)
    refuse(std::to_string(directory.end - at) + " bytes follow the " +
           std::to_string(directory.count) + " members of its central directory");
  check_overlap(entries);
  std::vector<ZipMember> members;
  members.reserve(entries.size());
  for (const Entry& entry : entries) members.push_back(entry.member);
  std::sort(members.begin(), members.end(),
            [](const ZipMember& a, const ZipMember& b) { return a.name < b.name; });
  for (size_t i = 1; i < members.size(); ++i)
    if (members[i].name == members[i - 1].name)
      refuse("two members are called " + quote(members[i].name));
  return members;
}

}  // namespace

std::vector<ZipMember> parse_zip(std::span<const std::byte> file, const std::string& source) {
  return Reader(file, source).read();
}

}  // namespace krait
