// Writes Mamba checkpoints with random weights, for tests and for measuring speed at the shapes of
// published models (tools/common/published_shapes.h).
#pragma once

#include <cstdint>
#include <string>

#include "krait/dtype.h"

namespace krait {

enum class RandomArchitecture { mamba, falcon_mamba, mamba2 };

// Whose names the config, the files and the tensors have.
enum class RandomLayout {
  hugging_face,
  mamba_ssm,  // config.json as MambaConfig writes it
  mistral     // params.json, consolidated.safetensors; Mamba-2
};

struct RandomCheckpoint {
  RandomArchitecture architecture = RandomArchitecture::mamba;
  int64_t d_model = 64;
  int64_t n_layer = 2;
  int64_t d_state = 16;
  int64_t d_conv = 4;
  int64_t expand = 2;
  int64_t intermediate_size = 0;  // 0: expand * d_model
  int64_t dt_rank = 0;            // 0: "auto", ceil(d_model / 16); not Mamba-2
  int64_t head_dim = 64;          // Mamba-2, as n_groups
  int64_t n_groups = 1;
  int64_t vocab_rows = 320;  // rows of the embedding
  int64_t vocab_size = 0;    // as the config says; fewer than the rows: padding. 0: the rows
  DType dtype = DType::f32;  // of every tensor: f32, f16 or bf16
  bool conv_bias = true;
  bool use_bias = false;  // of in_proj and out_proj
  bool tied = true;       // no lm_head.weight
  int64_t shards = 1;
  uint64_t seed = 1;
  RandomLayout layout = RandomLayout::hugging_face;
  bool header_only = false;  // all weights 0, in files that take no room on the disk

  int64_t d_inner() const { return intermediate_size > 0 ? intermediate_size : expand * d_model; }
  int64_t rank() const { return dt_rank > 0 ? dt_rank : (d_model + 15) / 16; }
  int64_t n_heads() const { return d_inner() / head_dim; }
  int64_t said_vocab_size() const { return vocab_size > 0 ? vocab_size : vocab_rows; }
};

// Writes a folder (made if missing): the layout's config and weights in safetensors, one file or
// shards with their index, generation_config.json, and, when vocab_size has room for the 256 byte
// symbols and <|endoftext|> (id 0), a byte-level tokenizer.json with some merges of English.
// Weights have the scales of a trained model, so that logits are moderate and the state matters.
// The same settings give the same files. Throws InputError naming a setting out of range, Failure
// when a file cannot be written.
void write_random_checkpoint(const std::string& folder, const RandomCheckpoint& checkpoint);

}  // namespace krait
