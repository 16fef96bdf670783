// The names that pickles of tensors are made of: Python globals and opcodes.
#pragma once

#include <cstdint>
#include <string_view>

#include "krait/dtype.h"

namespace krait {

// What a global stands for.
enum class PickleCall : uint8_t {
  ordered_dict,
  size,
  rebuild_tensor,
  rebuild_parameter,             // (tensor, requires_grad, hooks)
  rebuild_parameter_with_state,  // (tensor, requires_grad, hooks, attributes)
  rebuild_from_type,             // (function, class, arguments, attributes)
  tensor_class,
  storage_class,
};

struct PickleGlobal {
  std::string_view module;
  std::string_view name;
  PickleCall call;
  DType dtype = DType::f32;  // of a storage_class
};

// The allowed global of that name, or nullptr.
const PickleGlobal* find_pickle_global(std::string_view module, std::string_view name) noexcept;

// The name of an opcode as Python's pickletools has it; empty for a byte that is none.
std::string_view pickle_opcode_name(uint8_t opcode) noexcept;

}  // namespace krait
