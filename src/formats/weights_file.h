// One file of weights after its container has been read.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "krait/tensor.h"
#include "src/formats/mapped_file.h"

namespace krait {

struct WeightsEntry {
  std::string name;
  Tensor tensor;
  // Set for an element type that the format knows and krait does not read ("F8_E4M3"): then
  // tensor.dtype means nothing.
  std::string_view unread_type;
};

struct WeightsFile {
  WeightsFile(const std::string& path, std::string_view container_name)
      : file(path), container(container_name) {}

  MappedFile file;
  std::string_view container;  // as Checkpoint::container() answers it; lives for ever
  // By name; their data are views into `file` or, where the file does not hold them dense,
  // `copies`.
  std::vector<WeightsEntry> entries;
  std::vector<std::unique_ptr<std::byte[]>> copies;
};

}  // namespace krait
