#include "src/formats/torch_file.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/formats/torch_containers.h"

namespace krait {
namespace {

constexpr std::array<std::string_view, 3> kWrappers = {"state_dict", "model", "model_state_dict"};

struct NamedTensor {
  std::string_view name;
  TensorRef tensor;
};

// The dictionary that names the tensors, which training programs often wrap in another.
DictRef find_state_dict(const Pickle& pickle, const std::string& path) {
  const auto* top = std::get_if<DictRef>(&pickle.root);
  if (!top)
    throw InputError(path + " holds " + std::string(kind_of(pickle.root)) +
                     "; expected a dictionary of tensors");
  std::vector<DictRef> inner;
  const std::vector<PickleValue>& items = pickle.sequences[top->index];
  for (size_t i = 0; i < items.size(); i += 2) {
    const auto* key = std::get_if<std::string_view>(&items[i]);
    const auto* value = std::get_if<DictRef>(&items[i + 1]);
    if (key && value && std::find(kWrappers.begin(), kWrappers.end(), *key) != kWrappers.end())
      inner.push_back(*value);
  }
  return inner.size() == 1 ? inner.front() : *top;
}

// Sorted by name.
std::vector<NamedTensor> list_tensors(const Pickle& pickle, const std::string& path) {
  const std::vector<PickleValue>& items = pickle.sequences[find_state_dict(pickle, path).index];
  if (items.empty()) throw InputError(path + " holds no tensors");
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < items.size(); i += 2) {
    const auto* name = std::get_if<std::string_view>(&items[i]);
    if (!name)
      throw InputError(path + ": a key of its dictionary is " + std::string(kind_of(items[i])) +
                       "; expected the name of a tensor");
    const auto* tensor = std::get_if<TensorRef>(&items[i + 1]);
    if (!tensor)
      throw InputError(path + ": " + quote(*name) + " is " + std::string(kind_of(items[i + 1])) +
                       "; expected a tensor");
    tensors.push_back({*name, *tensor});
  }
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(
      tensors.begin(), tensors.end(),
      [](const NamedTensor& a, const NamedTensor& b) { return a.name == b.name; });
  if (twice != tensors.end())
    throw InputError(path + ": two tensors are called " + quote(twice->name));
  return tensors;
}

bool is_contiguous(const PickledTensor& tensor) {
  int64_t dense = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] > 1 && tensor.strides[i] != dense) return false;
    dense *= std::max<int64_t>(tensor.shape[i], 1);
  }
  return true;
}

// Gathers a non-empty tensor of rank 1 or more in row-major order.
void gather(const PickledTensor& tensor, const std::byte* storage, size_t item_bytes,
            std::byte* out) {
  const size_t last = tensor.shape.size() - 1;
  std::vector<int64_t> index(tensor.shape.size(), 0);
  for (int64_t row = tensor.offset;;) {
    for (int64_t i = 0; i < tensor.shape[last]; ++i, out += item_bytes)
      std::memcpy(out, storage + static_cast<size_t>(row + i * tensor.strides[last]) * item_bytes,
                  item_bytes);
    size_t d = last;
    while (d > 0 && ++index[d - 1] == tensor.shape[d - 1]) {
      row -= (tensor.shape[d - 1] - 1) * tensor.strides[d - 1];
      index[--d] = 0;
    }
    if (d == 0) return;
    row += tensor.strides[d - 1];
  }
}

// Gives each tensor its dense bytes.
class Placer {
 public:
  Placer(const TorchContent& content, WeightsFile& weights)
      : content_(content), weights_(weights), room_(weights.file.bytes().size()) {}

  Tensor place(const NamedTensor& named) {
    const PickledTensor& tensor = content_.pickle.tensors[named.tensor.index];
    const DType dtype = content_.pickle.storages[tensor.storage].dtype;
    const auto item = static_cast<size_t>(dtype_info(dtype).block_bytes);
    const auto elements = static_cast<size_t>(element_count(tensor.shape));
    Tensor placed{dtype, tensor.shape, {}};
    if (elements == 0) return placed;
    const std::span<const std::byte> storage = content_.storages[tensor.storage];
    if (is_contiguous(tensor))
      placed.data = storage.subspan(static_cast<size_t>(tensor.offset) * item, elements * item);
    else
      placed.data = copied(named.name, tensor, storage.data(), elements, item);
    return placed;
  }

 private:
  // A tensor may repeat the elements of its storage without end, so copies have a limit.
  std::span<const std::byte> copied(std::string_view name, const PickledTensor& tensor,
                                    const std::byte* storage, size_t elements, size_t item) {
    const auto [copy, added] = copies_.try_emplace(tensor);
    if (!added) return copy->second;
    if (elements > room_ / item)
      throw InputError(weights_.file.path() + ": tensor " + quote(name) + " of size " +
                       to_string(tensor.shape) + " with strides " + to_string(tensor.strides) +
                       " would make the copies of such tensors larger than the file");
    const size_t bytes = elements * item;
    room_ -= bytes;
    weights_.copies.push_back(std::make_unique_for_overwrite<std::byte[]>(bytes));
    gather(tensor, storage, item, weights_.copies.back().get());
    copy->second = {weights_.copies.back().get(), bytes};
    return copy->second;
  }

  const TorchContent& content_;
  WeightsFile& weights_;
  size_t room_;  // bytes that may still be copied
  std::map<PickledTensor, std::span<const std::byte>> copies_;
};

}  // namespace

WeightsFile read_torch_file(const std::string& path) {
  WeightsFile weights(path, "PyTorch");
  parse_mapped(weights.file, [&](std::span<const std::byte> bytes) {
    const TorchContent content = read_torch_container(bytes, path);
    Placer placer(content, weights);
    for (const NamedTensor& tensor : list_tensors(content.pickle, path))
      weights.entries.push_back({std::string(tensor.name), placer.place(tensor), {}});
  });
  return weights;
}

}  // namespace krait
