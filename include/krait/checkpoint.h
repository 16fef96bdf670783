// A checkpoint: named tensors and the configuration they came with, whatever the container.
// Implemented by src/formats, consumed by models/ (which never learns the container).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "krait/tensor.h"

namespace krait {

// Immutable after opening; safe to read from many threads. Views stay valid while it lives.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  // Where it came from, for messages: the folder or file as the user would name it.
  virtual const std::string& source() const noexcept = 0;

  // "safetensors", "GGUF", …
  virtual std::string_view container() const noexcept = 0;

  // config.json, or the metadata of a GGUF file as one flat object. Never null; may be empty.
  virtual const nlohmann::json& config() const noexcept = 0;

  // What config() is called in the checkpoint, for messages.
  virtual std::string_view config_name() const noexcept { return "config.json"; }

  // All tensor names, sorted.
  virtual const std::vector<std::string>& names() const noexcept = 0;

  // The tensor of that name, or nullptr. Throws InputError for a tensor of an element type that
  // krait does not read (such tensors do no harm as long as nobody asks for them).
  virtual const Tensor* find(std::string_view name) const = 0;

  // The file that holds the tensor, for messages. `name` must exist.
  virtual const std::string& file_of(std::string_view name) const noexcept = 0;

  // The tensor's bytes will not be read again soon: its pages may leave memory (a later read
  // brings them back from the file). Thread-safe.
  virtual void release(const Tensor& tensor) const noexcept = 0;

  // To be called when all is read. Throws Failure naming a file that was changed or could not be
  // read meanwhile: then what was read is of no checkpoint.
  virtual void check_unchanged() const {}
};

// Files of a checkpoint are mapped into memory, and where one is cut short or its disk fails, the
// system sends SIGBUS to whoever reads on. For a program's handler of that signal, given the
// address: whether it is such a file's. Then it reads as zeros from now on and check_unchanged()
// throws, so that the handler may return. Safe in a handler.
bool survive_bus_error(const void* address) noexcept;

}  // namespace krait
