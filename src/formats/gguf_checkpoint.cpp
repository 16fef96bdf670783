#include <algorithm>
#include <utility>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/formats/gguf.h"
#include "src/formats/mapped_file.h"

namespace krait {
namespace {

class GgufCheckpoint final : public Checkpoint {
 public:
  explicit GgufCheckpoint(const std::string& path)
      : file_(path),
        contents_(parse_mapped(file_, [&](auto bytes) { return parse_gguf(bytes, path); })) {
    for (const GgufEntry& entry : contents_.tensors) names_.push_back(entry.name);
  }

  const std::string& source() const noexcept override { return file_.path(); }
  std::string_view container() const noexcept override { return "GGUF"; }
  const nlohmann::json& config() const noexcept override { return contents_.metadata; }
  const std::vector<std::string>& names() const noexcept override { return names_; }

  const Tensor* find(std::string_view name) const override {
    const auto found = std::lower_bound(names_.begin(), names_.end(), name);
    if (found == names_.end() || *found != name) return nullptr;
    const GgufEntry& entry = contents_.tensors[static_cast<size_t>(found - names_.begin())];
    if (!entry.unread_type.empty())
      throw InputError(file_.path() + ": tensor " + quote(name) + " has type " +
                       std::string(entry.unread_type) + ", which krait does not read");
    return &entry.tensor;
  }

  const std::string& file_of(std::string_view name) const noexcept override {
    KRAIT_CHECK(std::binary_search(names_.begin(), names_.end(), name));
    return file_.path();
  }

  void release(const Tensor& tensor) const noexcept override { file_.release(tensor.data); }
  void check_unchanged() const override { file_.check_unchanged(); }

 private:
  MappedFile file_;
  GgufContents contents_;
  std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_gguf(const std::string& path) {
  return std::make_unique<GgufCheckpoint>(path);
}

}  // namespace krait
