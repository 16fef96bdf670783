// Steps of one token per sequence, recorded as graphs: the first such step of a kind runs as any
// other, the second is recorded, later ones are replayed in one call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "krait/backend.h"
#include "src/backend/cuda/runtime.h"
#include "src/backend/cuda/step_inputs.h"

namespace krait::cuda {

class StepGraphs {
 public:
  StepGraphs(Stream stream, StepInputs& inputs) : stream_(stream), inputs_(inputs) {}

  // As Backend::begin_step and end_step. `chain`: a number for key.chain, 0 for none.
  bool begin(const StepKey& key, uint64_t chain = 0);
  bool end();

  // All ids of the step being recorded must be below that.
  void limit_ids(int64_t rows) noexcept;
  // Forgets all graphs: addresses in them have changed.
  void clear() noexcept;
  // Nothing may be allocated meanwhile.
  bool recording() const noexcept { return recording_ != nullptr; }
  // Why no steps are recorded any more; empty where they are.
  const std::string& failure() const noexcept { return failure_; }

 private:
  struct Entry {
    uint64_t workspace = 0;
    uint64_t chain = 0;
    const float* states = nullptr;
    int64_t slot_stride = 0;
    int64_t tokens = 0;
    int64_t id_limit = 0;
    uint64_t used = 0;  // when last
    Graph graph;        // null until recorded
    PinnedMemory inputs;
  };

  void abandon();
  Entry& find(const StepKey& key, uint64_t chain);
  void replay(Entry& entry, const StepKey& key);

  Stream stream_;
  StepInputs& inputs_;
  std::vector<Entry> entries_;
  Entry* recording_ = nullptr;
  int64_t moves_ = 0;  // of the inputs, when the graphs were recorded
  uint64_t clock_ = 0;
  std::string failure_;
};

}  // namespace krait::cuda
