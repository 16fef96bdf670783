// The state of a sequence in a file.
//
// All numbers are little-endian; a text is a u64 length and that many bytes.
//   magic            8 bytes, "\x93krait\r\n"
//   version          u32, 2
//   fingerprint      u64, of the model (Engine::fingerprint)
//   model            text, the model's name when it was saved; for messages only
//   weights, planes  u8 each, a DType: of the weights that computed the state; of the planes here
//   seed, sequence   u64 each, of the draws
//   position         u64
//   layout           u32 count of planes; for each u32 layer, text name, u64 rows, u64 cols
//   ids              u64 count (the position, or 0 where none were kept), i32 each
//   logits           u32 count (the rows of the embedding, or 0 where there are none)
//   payload          u64 length of one zstd frame: the planes in order, then the logits as f32; of
//                    each of these two first all lowest bytes of the numbers, …, last all highest
//   notes            text, the writer's own; empty where there are none
//   checksum         u64, XXH3-64 of everything before it
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "krait/state.h"

namespace krait {

// The model that a state belongs to, as far as a file of it is concerned.
struct StateModel {
  std::string name;
  uint64_t fingerprint = 0;
  int64_t embedding_rows = 0;
  const StateLayout& layout;
};

// `planes` is f32 (exact) or bf16. The file is on the disk, whole, when this returns. Throws as
// OutputFile does.
void write_state_file(const std::string& path, const StateModel& model, const SavedState& state,
                      DType planes);

// Throws InputError naming file, field, what was found and what was expected for anything but a
// whole state of `model`. The checksum is verified before anything but magic and version is
// believed; memory is bounded by the size of the file and of the model's state.
SavedState read_state_file(const std::string& path, const StateModel& model);

// The same of the bytes of a file; `path` is for messages.
SavedState parse_state_file(std::string_view file, const std::string& path,
                            const StateModel& model);

}  // namespace krait
