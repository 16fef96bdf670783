// Decoding on a device that draws tokens by itself: steps are queued before the host has seen what
// those before them have drawn. When the host ends the sequence, the device has gone too far; from
// a copy of the state that was made on the way, and the ids since then, it gets back.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "krait/model.h"
#include "krait/sampler.h"
#include "krait/session.h"

namespace krait {

// How a device draws what Sampler(options, vocab, seed, sequence) would; nullopt if it cannot.
std::optional<Draw> device_draw(const SamplingOptions& options, int32_t vocab, uint64_t seed,
                                uint64_t sequence, int64_t position);

class RunAhead {
 public:
  struct Options {
    int64_t steps = 8;          // queued at most, of which the host has not seen the id; at least 1
    int64_t backup_every = 16;  // steps
  };

  // `state`: one slot, the sequence's.
  RunAhead(Backend& backend, const Model& model, Buffer& state, Options options);

  // Feeds `first` and what is drawn after it, until on_id says stop or `most` ids, the first
  // included, are fed or to be fed. `draw` is that of the id after `first`. False when logits could
  // not be drawn from, and on_id was not asked. Afterwards, also when on_id throws, the state is
  // somewhere near: see is_exact().
  bool run(const Draw& draw, int32_t first, int64_t most, Workspace& workspace, Drawing& drawing,
           const std::function<Verdict(int32_t)>& on_id);

  // After run(): whether the state is that after all ids that were to be fed, and no more. The
  // logits are then in the workspace.
  bool is_exact() const noexcept { return launched_ == fed_; }
  Rows logits() const noexcept { return logits_; }

  // Otherwise: puts the state to an earlier moment and returns the ids that are missing, one at
  // least. Valid until the next run.
  std::span<const int32_t> go_back();

 private:
  struct Copy {
    std::unique_ptr<Buffer> state;
    int64_t at = -1;  // after so many steps of the run; -1: none
  };

  void step(Workspace& workspace, Drawing& drawing);
  void keep_state();

  Backend& backend_;
  const Model& model_;
  Buffer& state_;
  const Options options_;
  Rows logits_;
  // Of the run.
  int64_t fed_ = 0, launched_ = 0;  // ids that are to be fed; steps that feed
  std::vector<int32_t> ids_;        // those from number first_id_ on
  int64_t first_id_ = 0;
  // One of them is always from before the last id that is to be fed.
  std::array<Copy, 2> copies_;
  size_t newest_ = 0;
};

}  // namespace krait
