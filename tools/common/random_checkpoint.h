// Writes Mamba checkpoints with random weights, for tests and for measuring speed at the shapes of
// published models.
#pragma once

#include <cstdint>
#include <string>

#include "krait/dtype.h"

namespace krait {

struct RandomCheckpoint {
  int64_t d_model = 64;
  int64_t n_layer = 2;
  int64_t d_state = 16;
  int64_t d_conv = 4;
  int64_t expand = 2;
  int64_t intermediate_size = 0;  // d_inner; 0: expand * d_model
  int64_t dt_rank = 0;            // 0: "auto", ceil(d_model / 16)
  int64_t vocab_rows = 320;       // rows of the embedding
  int64_t vocab_size = 0;         // as config.json says; fewer than the rows: padding. 0: the rows
  DType dtype = DType::f32;       // of every tensor: f32, f16 or bf16
  bool conv_bias = true;
  bool use_bias = false;  // of in_proj and out_proj
  bool tied = true;       // no lm_head.weight
  int64_t shards = 1;
  uint64_t seed = 1;
};

// Writes a Hugging Face folder (made if missing): config.json, generation_config.json,
// model.safetensors or its shards with their index, and, when vocab_size has room for the 256 byte
// symbols and <|endoftext|> (id 0), a byte-level tokenizer.json with some merges of English.
// Weights have the scales of a trained model, so that logits are moderate and the state matters.
// The same settings give the same files. Throws InputError naming a setting out of range, Failure
// when a file cannot be written.
void write_random_checkpoint(const std::string& folder, const RandomCheckpoint& checkpoint);

}  // namespace krait
