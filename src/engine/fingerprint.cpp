#include "src/engine/fingerprint.h"

#include <algorithm>

#include "krait/error.h"
#include "src/base/hash.h"

namespace krait {
namespace {

constexpr size_t kPieces = 16;       // of a large tensor, spread evenly, its ends among them
constexpr size_t kPieceBytes = 256;  // each

void add(Hasher& hash, const Mamba1Config& c) {
  hash.add(std::string_view("mamba1"));
  for (const int64_t n : {c.d_inner, c.d_state, c.d_conv, c.dt_rank}) hash.add(n);
  hash.add(c.dt_b_c_rms_eps.value_or(-1.0f));
}

void add(Hasher& hash, const Mamba2Config& c) {
  hash.add(std::string_view("mamba2"));
  for (const int64_t n : {c.n_heads, c.head_dim, c.n_groups, c.d_state, c.d_conv}) hash.add(n);
  for (const float f : {c.dt_min, c.dt_max, c.norm_eps}) hash.add(f);
  for (const bool b : {c.gated_norm, c.norm_before_gate}) hash.add(b);
}

void add(Hasher& hash, const S4dConfig& c) {
  hash.add(std::string_view("s4d"));
  for (const int64_t n : {c.d_inner, c.d_state, c.d_conv}) hash.add(n);
}

void add(Hasher& hash, const ModelConfig& config) {
  hash.add(std::string_view(config.architecture));
  for (const int64_t n : {config.d_model, config.vocab_size, config.embedding_rows}) hash.add(n);
  hash.add(config.norm_eps);
  hash.add(config.tied_head);
  for (const LayerConfig& layer : config.layers)
    std::visit([&](const auto& c) { add(hash, c); }, layer);
}

void add(Hasher& hash, const StateLayout& layout) {
  for (const StatePlane& plane : layout.planes()) {
    hash.add(std::string_view(plane.name));
    for (const int64_t n : {int64_t{plane.layer}, plane.rows, plane.cols}) hash.add(n);
  }
}

void add(Hasher& hash, const Tensor& tensor) {
  hash.add(dtype_name(tensor.dtype));
  hash.add(uint64_t{tensor.shape.size()});
  for (const int64_t n : tensor.shape) hash.add(n);
  const auto data = tensor.data;
  if (data.size() <= kPieces * kPieceBytes) return hash.add(data);
  for (size_t i = 0; i < kPieces; ++i)
    hash.add(data.subspan((data.size() - kPieceBytes) * i / (kPieces - 1), kPieceBytes));
}

// A tensor of a type that krait does not read is no part of the model.
const Tensor* find_readable(const Checkpoint& checkpoint, const std::string& name) {
  try {
    return checkpoint.find(name);
  } catch (const InputError&) {
    return nullptr;
  }
}

}  // namespace

uint64_t fingerprint_of(const Checkpoint& checkpoint, const ModelConfig& config) {
  Hasher hash;
  add(hash, config);
  add(hash, state_layout(config));
  for (const std::string& name : checkpoint.names()) {
    const Tensor* tensor = find_readable(checkpoint, name);
    if (!tensor) continue;
    hash.add(std::string_view(name));
    add(hash, *tensor);
    checkpoint.release(*tensor);  // the system brings in more around every piece than was looked at
  }
  return hash.value();
}

}  // namespace krait
