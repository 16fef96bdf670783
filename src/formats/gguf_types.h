// The numbers of the GGUF format that its reader and its writer share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "krait/dtype.h"

namespace krait {

inline constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF"
inline constexpr size_t kGgufMaxNameBytes = 63;     // of a tensor's name
inline constexpr size_t kGgufMaxKeyBytes = 65535;   // of a metadata key
inline constexpr uint32_t kGgufMaxRank = 4;
inline constexpr uint32_t kGgufDefaultAlignment = 32;  // of every tensor's data

// The types of metadata values.
enum class GgufKind : int32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

// Element types that krait has too.
struct GgufElementType {
  uint32_t id;
  DType dtype;
};
inline constexpr std::array<GgufElementType, 18> kGgufElementTypes = {{
    {0, DType::f32},
    {1, DType::f16},
    {2, DType::q4_0},
    {3, DType::q4_1},
    {6, DType::q5_0},
    {7, DType::q5_1},
    {8, DType::q8_0},
    {10, DType::q2_k},
    {11, DType::q3_k},
    {12, DType::q4_k},
    {13, DType::q5_k},
    {14, DType::q6_k},
    {24, DType::i8},
    {25, DType::i16},
    {26, DType::i32},
    {27, DType::i64},
    {28, DType::f64},
    {30, DType::bf16},
}};

}  // namespace krait
