// Storages and tensors from the objects that describe them in a pickle.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "src/formats/pickle.h"

namespace krait {

// Why an object is refused; the reader of the pickle adds where.
struct PickleRefusal {
  std::string what;
};

// A persistent id: ("storage", class, key, location, numel) and, in the legacy container, None for
// "not a view of another storage". An id seen before gives the storage made then. Throws
// PickleRefusal.
StorageRef make_storage(const PickleValue& id, Pickle& pickle,
                        std::map<std::string_view, uint32_t>& storage_of_key);

// The result of an allowed call: an empty dictionary, a tuple or a tensor. Throws PickleRefusal.
PickleValue call_global(const PickleValue& callable, const PickleValue& arguments, Pickle& pickle);

}  // namespace krait
