// Python pickles (protocol 2) as torch.save writes them, read by a small stack machine that can
// build tensors, dictionaries, lists, tuples, numbers and strings and nothing else: names of Python
// globals are looked up in a table of a few words and never lead to code.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "krait/tensor.h"
#include "src/formats/pickle_names.h"

namespace krait {

// Objects that several values may share are indices into the arrays of Pickle, so that a pickle can
// neither make a cycle of owners nor have anything copied over and over.
struct TupleRef {
  uint32_t index;
};
struct ListRef {
  uint32_t index;
};
struct DictRef {
  uint32_t index;
};
struct StorageRef {
  uint32_t index;
};
struct TensorRef {
  uint32_t index;
};

using PickleValue =
    std::variant<std::monostate, bool, int64_t, double, std::string_view, const PickleGlobal*,
                 TupleRef, ListRef, DictRef, StorageRef, TensorRef>;

// A run of elements that lies outside the pickle, under that key.
struct PickledStorage {
  std::string_view key;
  DType dtype;
  int64_t numel;  // its bytes fit 63 bits
};

// A view of a storage; all in elements. Checked: every element lies in the storage, and the number
// of elements fits 63 bits, even with zero dimensions left out.
struct PickledTensor {
  uint32_t storage;
  int64_t offset;
  Shape shape;
  Shape strides;
  auto operator<=>(const PickledTensor&) const = default;
};

struct Pickle {
  PickleValue root;
  size_t end = 0;  // one past its last byte
  // Tuples and lists item by item; dictionaries as key, value, key, value in the order of the file,
  // duplicates not looked for.
  std::vector<std::vector<PickleValue>> sequences;
  std::vector<PickledStorage> storages;  // no two with one key
  std::vector<PickledTensor> tensors;
};

// Reads the pickle that begins at `start`. Strings are views into `bytes` and valid UTF-8. Time and
// memory stay in proportion to the size of the pickle. `source` names the bytes in messages. Throws
// InputError: "source: pickle byte N: what is wrong".
Pickle parse_pickle(std::span<const std::byte> bytes, size_t start, const std::string& source);

// "an integer", "a dictionary", …
std::string_view kind_of(const PickleValue& value) noexcept;

}  // namespace krait
