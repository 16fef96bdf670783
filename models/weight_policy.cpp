#include "models/weight_policy.h"

namespace krait {
namespace {

bool below_8_bits(DType type) noexcept { return is_block_type(type) && type != DType::q8_0; }

}  // namespace

DType loaded_weight_type(std::string_view canonical_name, DType wanted) noexcept {
  if (!below_8_bits(wanted)) return wanted;
  // dt, B and C steer the recurrence, and their matrices are a few percent of the weights.
  if (canonical_name.ends_with(".x_proj.weight") || canonical_name.ends_with(".dt_proj.weight"))
    return DType::q8_0;
  // The head decides every logit; the embedding often is the head.
  if (canonical_name == "embedding.weight" || canonical_name == "lm_head.weight")
    return DType::q6_k;
  return wanted;
}

DType stored_weight_type(std::string_view canonical_name, int64_t cols, DType wanted) noexcept {
  const DType type = loaded_weight_type(canonical_name, wanted);
  const auto divides = [&](DType t) { return cols % dtype_info(t).block_elements == 0; };
  if (divides(type)) return type;
  return divides(DType::q8_0) ? DType::q8_0 : DType::f16;
}

}  // namespace krait
