#include "src/formats/pickled_tensors.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "src/base/json.h"

namespace krait {
namespace {

using Values = std::vector<PickleValue>;

constexpr size_t kMaxRank = 64;      // PyTorch's own limit
constexpr size_t kMaxKeyBytes = 64;  // a decimal number in fact

[[noreturn]] void refuse(std::string what) { throw PickleRefusal{std::move(what)}; }

template <class T>
T expect(const PickleValue& value, const std::string& what, std::string_view expected) {
  if (!std::holds_alternative<T>(value))
    refuse(what + " is " + std::string(kind_of(value)) + "; expected " + std::string(expected));
  return std::get<T>(value);
}

int64_t expect_size(const PickleValue& value, const std::string& what) {
  const auto number = expect<int64_t>(value, what, "an integer");
  if (number < 0) refuse(what + " is " + std::to_string(number) + "; expected 0 or more");
  return number;
}

Shape expect_sizes(const PickleValue& value, const std::string& what, const Pickle& pickle) {
  const Values& items = pickle.sequences[expect<TupleRef>(value, what, "a tuple").index];
  if (items.size() > kMaxRank)
    refuse(what + " has " + std::to_string(items.size()) + " dimensions; expected at most " +
           std::to_string(kMaxRank));
  Shape sizes;
  for (const PickleValue& item : items) sizes.push_back(expect_size(item, "an item of " + what));
  return sizes;
}

// The index behind the last element of the view, or nothing where it is empty or its size or reach
// does not fit 63 bits.
struct Reach {
  bool empty = false;
  bool overflow = false;
  int64_t last = 0;
};

Reach reach_of(const PickledTensor& tensor) {
  Reach reach{.last = tensor.offset};
  int64_t elements = 1;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    const int64_t size = tensor.shape[i];
    int64_t step = 0;
    reach.empty = reach.empty || size == 0;
    reach.overflow =
        reach.overflow || __builtin_mul_overflow(elements, std::max<int64_t>(size, 1), &elements) ||
        __builtin_mul_overflow(std::max<int64_t>(size - 1, 0), tensor.strides[i], &step) ||
        __builtin_add_overflow(reach.last, step, &reach.last);
  }
  return reach;
}

TensorRef rebuild_tensor(const Values& arguments, Pickle& pickle) {
  if (arguments.size() != 6)
    refuse("_rebuild_tensor_v2 with " + std::to_string(arguments.size()) +
           " arguments; expected 6: storage, offset, size, stride, requires_grad, hooks");
  PickledTensor tensor;
  tensor.storage = expect<StorageRef>(arguments[0], "the first argument", "a storage").index;
  tensor.offset = expect_size(arguments[1], "the storage offset");
  tensor.shape = expect_sizes(arguments[2], "the size", pickle);
  tensor.strides = expect_sizes(arguments[3], "the stride", pickle);
  const std::string words = "a tensor of size " + to_string(tensor.shape) + " with strides " +
                            to_string(tensor.strides) + " at offset " +
                            std::to_string(tensor.offset);
  if (tensor.shape.size() != tensor.strides.size()) refuse(words + "; expected as many of each");
  const Reach reach = reach_of(tensor);
  if (reach.overflow) refuse(words + ", more than 63 bits can count");
  const PickledStorage& storage = pickle.storages[tensor.storage];
  if (!reach.empty && reach.last >= storage.numel)
    refuse(words + " ends at element " + std::to_string(reach.last) + "; its storage " +
           quote(storage.key) + " has " + std::to_string(storage.numel));
  pickle.tensors.push_back(std::move(tensor));
  return {static_cast<uint32_t>(pickle.tensors.size() - 1)};
}

// A tensor that was pickled with its Python class and attributes.
TensorRef rebuild_from_type(const Values& arguments, Pickle& pickle) {
  if (arguments.size() != 4)
    refuse("_rebuild_from_type_v2 with " + std::to_string(arguments.size()) +
           " arguments; expected 4");
  const auto function =
      expect<const PickleGlobal*>(arguments[0], "the first argument", "_rebuild_tensor_v2");
  const auto type = expect<const PickleGlobal*>(arguments[1], "the second argument", "Tensor");
  if (function->call != PickleCall::rebuild_tensor || type->call != PickleCall::tensor_class)
    refuse("_rebuild_from_type_v2 of " + std::string(function->name) + " and " +
           std::string(type->name) + "; expected _rebuild_tensor_v2 and Tensor");
  const auto inner = expect<TupleRef>(arguments[2], "the third argument", "a tuple");
  return rebuild_tensor(pickle.sequences[inner.index], pickle);
}

TensorRef rebuild_parameter(const Values& arguments, size_t expected) {
  if (arguments.size() != expected)
    refuse("_rebuild_parameter with " + std::to_string(arguments.size()) + " arguments; expected " +
           std::to_string(expected));
  return expect<TensorRef>(arguments[0], "the data of a parameter", "a tensor");
}

}  // namespace

StorageRef make_storage(const PickleValue& id, Pickle& pickle,
                        std::map<std::string_view, uint32_t>& storage_of_key) {
  const Values& items = pickle.sequences[expect<TupleRef>(id, "a persistent id", "a tuple").index];
  if (items.size() != 5 && items.size() != 6)
    refuse("a persistent id of " + std::to_string(items.size()) + " items; expected 5");
  const auto kind =
      expect<std::string_view>(items[0], "the kind of a persistent id", "\"storage\"");
  if (kind != "storage")
    refuse("a persistent id of kind " + quote(kind) + "; expected \"storage\"");
  const auto type = expect<const PickleGlobal*>(items[1], "the class of a storage", "a class");
  if (type->call != PickleCall::storage_class)
    refuse("a storage of class " + std::string(type->name) + "; expected FloatStorage or the like");
  const auto key = expect<std::string_view>(items[2], "the key of a storage", "a string");
  if (key.size() > kMaxKeyBytes)
    refuse("a storage key of " + std::to_string(key.size()) + " bytes; expected a short number");
  expect<std::string_view>(items[3], "the location of a storage", "a string");
  const int64_t numel = expect_size(items[4], "the length of storage " + quote(key));
  if (items.size() == 6 && !std::holds_alternative<std::monostate>(items[5]))
    refuse("storage " + quote(key) + " is a view of another, as PyTorch wrote it before 0.4");
  if (numel > std::numeric_limits<int64_t>::max() / dtype_info(type->dtype).block_bytes)
    refuse("storage " + quote(key) + " has " + std::to_string(numel) +
           " elements, more bytes than 63 bits can count");
  const auto [known, added] =
      storage_of_key.emplace(key, static_cast<uint32_t>(pickle.storages.size()));
  if (added) pickle.storages.push_back({key, type->dtype, numel});
  const PickledStorage& storage = pickle.storages[known->second];
  if (storage.dtype != type->dtype || storage.numel != numel)
    refuse("storage " + quote(key) + " has " + std::to_string(numel) + " elements of " +
           std::string(dtype_name(type->dtype)) + " here and " + std::to_string(storage.numel) +
           " of " + std::string(dtype_name(storage.dtype)) + " before");
  return {known->second};
}

PickleValue call_global(const PickleValue& callable, const PickleValue& arguments, Pickle& pickle) {
  const auto global = expect<const PickleGlobal*>(callable, "what REDUCE calls", "a global");
  const auto tuple = expect<TupleRef>(arguments, "the arguments of REDUCE", "a tuple");
  const Values& items = pickle.sequences[tuple.index];
  switch (global->call) {
    case PickleCall::ordered_dict:
      if (!items.empty()) refuse("OrderedDict with arguments; expected none");
      pickle.sequences.emplace_back();
      return DictRef{static_cast<uint32_t>(pickle.sequences.size() - 1)};
    case PickleCall::size:
      if (items.size() != 1) refuse("Size of several arguments; expected one");
      return expect<TupleRef>(items[0], "the argument of Size", "a tuple");
    case PickleCall::rebuild_tensor: return rebuild_tensor(items, pickle);
    case PickleCall::rebuild_parameter: return rebuild_parameter(items, 3);
    case PickleCall::rebuild_parameter_with_state: return rebuild_parameter(items, 4);
    case PickleCall::rebuild_from_type: return rebuild_from_type(items, pickle);
    case PickleCall::tensor_class:
    case PickleCall::storage_class: break;
  }
  refuse("a call of " + std::string(global->name) + ", which is only a class here");
}

}  // namespace krait
