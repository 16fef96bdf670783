// Rows of a checkpoint's matrix as the blocks that products are computed on, checked: what every
// backend packs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "krait/tensor.h"
#include "src/base/block_types.h"

namespace krait {

// Reads one row at a time, converting where the tensor is not of that type already. A row that ends
// inside a block is continued with zeros. Throws InputError, naming `name`, for values beyond what
// the type can hold and stored scales that are not finite.
class BlockRows {
 public:
  // `tensor` [rows, cols] and `name` must outlive it; has_block_parts(type).
  BlockRows(const Tensor& tensor, DType type, const std::string& name);

  // Calls put(block, parts) for the blocks of the row, in order.
  template <class Put>
  void for_each(int64_t row, Put&& put) {
    begin(row);
    for (int64_t block = 0; block < blocks_; ++block) {
      read(row, block);
      put(block, static_cast<const BlockParts&>(parts_));
    }
  }

 private:
  void begin(int64_t row);
  void read(int64_t row, int64_t block);

  const Tensor& tensor_;
  const std::string& name_;
  DType type_;
  int64_t blocks_;  // of a row
  bool stored_;     // as they are used
  std::vector<float> values_;
  BlockParts parts_;
};

}  // namespace krait
