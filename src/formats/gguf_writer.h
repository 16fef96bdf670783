// Writing GGUF files: version 3, aligned to 32 bytes.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/tensor.h"

namespace krait {

using GgufSink = std::function<void(std::span<const std::byte>)>;

// A tensor to write.
struct GgufTensor {
  std::string name;  // 1 to 63 bytes
  DType dtype = DType::f32;
  Shape shape;  // outermost dimension first, as everywhere here; 1 to 4, the last in whole blocks
  // Hands all bytes of the tensor to the sink, in order, in pieces of any size: only they need be
  // in memory.
  std::function<void(const GgufSink&)> produce;
};

// Writes a file of these pairs and tensors, in this order. `metadata` is a flat object and holds
// the string "general.architecture". What a value is in the file: a boolean, a string, u32 for an
// unsigned integer, i32 for another (u64 and i64 where they do not fit), f32 for a number that is
// no integer, or an array of one of these.
//
// `path` appears, or is replaced, only with the whole file (OutputFile). Throws InputError for a
// name or value that the format cannot hold and for a path that cannot be created, Failure when
// writing fails, and whatever a `produce` throws.
void write_gguf(const std::string& path, const nlohmann::ordered_json& metadata,
                const std::vector<GgufTensor>& tensors);

}  // namespace krait
