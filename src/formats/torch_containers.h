// What torch.save wraps a pickle and its storages in.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "src/formats/pickle.h"

namespace krait {

// The pickled object, and the bytes of each of its storages in the order of pickle.storages,
// exactly as many as they need. Strings and bytes are views into the file.
struct TorchContent {
  Pickle pickle;
  std::vector<std::span<const std::byte>> storages;
};

// Reads the zip container of torch 1.6 and later or the legacy container before it, told apart by
// their first bytes. `path` names the file in messages. Throws InputError, also for what looks like
// one and is not: TorchScript, tar, big-endian files, bare pickles.
TorchContent read_torch_container(std::span<const std::byte> file, const std::string& path);

}  // namespace krait
