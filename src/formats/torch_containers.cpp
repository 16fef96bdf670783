#include "src/formats/torch_containers.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/formats/zip.h"

namespace krait {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::string_view kZipStart = "PK\3\4";
// A pickle of the number 0x1950a86a20f9469cfc6c.
constexpr std::string_view kLegacyStart("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
                                        15);
constexpr int64_t kLegacyProtocol = 1001;
constexpr int kMaxVersion = 10;  // of the zip container, that PyTorch reads

std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint64_t bytes_of(const PickledStorage& storage) {
  return static_cast<uint64_t>(storage.numel) *
         static_cast<uint64_t>(dtype_info(storage.dtype).block_bytes);
}

// ---- zip ----

class ZipContainer {
 public:
  ZipContainer(Bytes file, const std::string& path)
      : path_(path), members_(parse_zip(file, path)), root_(find_root()) {}
  TorchContent read() const;

 private:
  const ZipMember* find(std::string_view name) const;
  std::string find_root() const;
  void check_kind() const;
  void check_version() const;

  const std::string& path_;
  std::vector<ZipMember> members_;  // by name
  std::string root_;                // "archive/"
};

// `name` is below the root.
const ZipMember* ZipContainer::find(std::string_view name) const {
  const std::string full = root_ + std::string(name);
  const auto found = std::lower_bound(
      members_.begin(), members_.end(), full,
      [](const ZipMember& member, const std::string& wanted) { return member.name < wanted; });
  return found != members_.end() && found->name == full ? &*found : nullptr;
}

std::string ZipContainer::find_root() const {
  constexpr std::string_view kPickle = "data.pkl";
  std::string root;
  for (const ZipMember& member : members_) {
    if (!member.name.ends_with("/" + std::string(kPickle))) continue;
    if (!root.empty())
      throw InputError(path_ + " holds several pickles, " + quote(root + std::string(kPickle)) +
                       " and " + quote(member.name) + "; expected one");
    root = member.name.substr(0, member.name.size() - kPickle.size());
  }
  if (root.empty())
    throw InputError(path_ + " is a ZIP archive, but not one by torch.save: no data.pkl in it");
  for (const ZipMember& member : members_)
    if (!member.name.starts_with(root))
      throw InputError(path_ + ": member " + quote(member.name) + " lies outside the folder " +
                       quote(root));
  return root;
}

void ZipContainer::check_kind() const {
  const std::string code = root_ + "code/";
  const bool script = find("constants.pkl") ||
                      std::any_of(members_.begin(), members_.end(), [&](const ZipMember& member) {
                        return member.name.starts_with(code);
                      });
  if (script)
    throw InputError(path_ + " is a TorchScript archive, a program; expected a state_dict saved " +
                     "by torch.save");
  const ZipMember* order = find("byteorder");
  if (order && as_text(order->data) != "little")
    throw InputError(path_ + ": byteorder is " + quote(as_text(order->data)) +
                     "; expected \"little\"");
}

void ZipContainer::check_version() const {
  const ZipMember* member = find("version");
  if (!member) throw InputError(path_ + " has no member " + quote(root_ + "version"));
  std::string_view digits = as_text(member->data);
  if (digits.ends_with('\n')) digits.remove_suffix(1);
  int version = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), version);
  if (error != std::errc() || end != digits.data() + digits.size() || version < 1 ||
      version > kMaxVersion)
    throw InputError(path_ + ": version is " + quote(digits) + "; expected 1 to " +
                     std::to_string(kMaxVersion));
}

TorchContent ZipContainer::read() const {
  check_kind();
  check_version();
  const Bytes bytes = find("data.pkl")->data;
  const std::string source = path_ + " (data.pkl)";
  TorchContent content{parse_pickle(bytes, 0, source), {}};
  if (content.pickle.end != bytes.size())
    throw InputError(source + ": " + std::to_string(bytes.size() - content.pickle.end) +
                     " bytes follow the pickle");
  for (const PickledStorage& storage : content.pickle.storages) {
    const std::string name = "data/" + std::string(storage.key);
    const ZipMember* member = find(name);
    if (!member)
      throw InputError(path_ + " has no member " + quote(root_ + name) +
                       ", the storage that its pickle refers to");
    if (member->data.size() != bytes_of(storage))
      throw InputError(path_ + ": member " + quote(member->name) + " has " +
                       std::to_string(member->data.size()) + " bytes; " +
                       std::to_string(storage.numel) + " elements of " +
                       std::string(dtype_name(storage.dtype)) + " need " +
                       std::to_string(bytes_of(storage)));
    content.storages.push_back(member->data);
  }
  return content;
}

// ---- legacy: five pickles, then each storage behind its length ----

class LegacyContainer {
 public:
  LegacyContainer(Bytes file, const std::string& path)
      : file_(file), path_(path), at_(kLegacyStart.size()) {}
  TorchContent read();

 private:
  Pickle next_pickle();
  void check_protocol(const PickleValue& value) const;
  void check_system(const Pickle& system) const;
  Bytes next_storage(const PickledStorage& storage);

  Bytes file_;
  const std::string& path_;
  size_t at_;
};

Pickle LegacyContainer::next_pickle() {
  Pickle pickle = parse_pickle(file_, at_, path_);
  at_ = pickle.end;
  return pickle;
}

void LegacyContainer::check_protocol(const PickleValue& value) const {
  const auto* version = std::get_if<int64_t>(&value);
  if (!version || *version != kLegacyProtocol)
    throw InputError(path_ + ": the protocol version is " +
                     (version ? std::to_string(*version) : std::string(kind_of(value))) +
                     "; expected " + std::to_string(kLegacyProtocol));
}

void LegacyContainer::check_system(const Pickle& system) const {
  const auto* dictionary = std::get_if<DictRef>(&system.root);
  if (!dictionary)
    throw InputError(path_ + ": its third pickle is " + std::string(kind_of(system.root)) +
                     "; expected a dictionary that describes the system");
  const std::vector<PickleValue>& items = system.sequences[dictionary->index];
  bool little = false;
  for (size_t i = 0; i < items.size(); i += 2) {
    const auto* key = std::get_if<std::string_view>(&items[i]);
    const auto* value = std::get_if<bool>(&items[i + 1]);
    if (key && *key == "little_endian") little = value && *value;
  }
  if (!little)
    throw InputError(path_ + ": little_endian is not True; expected a little-endian file");
}

Bytes LegacyContainer::next_storage(const PickledStorage& storage) {
  const std::string words = path_ + ": storage " + quote(storage.key);
  int64_t numel = 0;
  const size_t left = file_.size() - at_;
  if (left < sizeof numel)
    throw InputError(words + " is cut short: its length needs 8 bytes, " + std::to_string(left) +
                     " are left");
  std::memcpy(&numel, file_.data() + at_, sizeof numel);
  at_ += sizeof numel;
  if (numel != storage.numel)
    throw InputError(words + " has " + std::to_string(numel) + " elements; expected " +
                     std::to_string(storage.numel));
  const uint64_t bytes = bytes_of(storage);
  if (bytes > file_.size() - at_)
    throw InputError(words + " is cut short: it needs " + std::to_string(bytes) + " bytes, " +
                     std::to_string(file_.size() - at_) + " are left");
  at_ += bytes;
  return file_.subspan(at_ - bytes, bytes);
}

TorchContent LegacyContainer::read() {
  check_protocol(next_pickle().root);
  check_system(next_pickle());
  TorchContent content{next_pickle(), {}};
  const std::vector<PickledStorage>& storages = content.pickle.storages;
  const Pickle keys = next_pickle();
  const auto* list = std::get_if<ListRef>(&keys.root);
  if (!list)
    throw InputError(path_ + ": its fifth pickle is " + std::string(kind_of(keys.root)) +
                     "; expected the list of storages");
  std::map<std::string_view, size_t> unread;
  for (size_t i = 0; i < storages.size(); ++i) unread.emplace(storages[i].key, i);
  content.storages.resize(storages.size());
  for (const PickleValue& value : keys.sequences[list->index]) {
    const auto* key = std::get_if<std::string_view>(&value);
    const auto found = key ? unread.find(*key) : unread.end();
    if (found == unread.end())
      throw InputError(path_ + ": the list of storages holds " +
                       (key ? quote(*key) : std::string(kind_of(value))) +
                       "; expected each storage of its tensors once");
    content.storages[found->second] = next_storage(storages[found->second]);
    unread.erase(found);
  }
  if (!unread.empty())
    throw InputError(path_ + ": the list of storages lacks " + quote(unread.begin()->first));
  if (at_ != file_.size())
    throw InputError(path_ + ": " + std::to_string(file_.size() - at_) +
                     " bytes follow the last storage");
  return content;
}

[[noreturn]] void refuse_container(std::string_view text, const std::string& path) {
  constexpr size_t kTarMark = 257;
  if (text.starts_with("version https://git-lfs"))
    throw InputError(path + " is a Git LFS pointer, not the weights it stands for; fetch them " +
                     "with `git lfs pull`");
  if (text.size() > kTarMark && text.substr(kTarMark).starts_with("ustar"))
    throw InputError(path + " is a tar archive, as PyTorch wrote it before 0.1.10; save it again " +
                     "with a newer one");
  if (text.starts_with('\x80'))
    throw InputError(path + " is a bare pickle; expected a file by torch.save");
  throw InputError(path + " is no file by torch.save: it begins with " + quote(text.substr(0, 4)));
}

}  // namespace

TorchContent read_torch_container(Bytes file, const std::string& path) {
  const std::string_view text = as_text(file);
  if (text.starts_with(kZipStart)) return ZipContainer(file, path).read();
  if (text.starts_with(kLegacyStart)) return LegacyContainer(file, path).read();
  refuse_container(text, path);
}

}  // namespace krait
