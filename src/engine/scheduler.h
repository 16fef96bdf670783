// Continuous batching: any number of sequences, of any lengths and at any stage, advance together,
// so that the weights are read once a step for all of them. A place (slot) that becomes free is
// taken by the next job at once. The texts are those that each job alone would give: the backend's
// results do not depend on what else is in a step.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "krait/engine.h"
#include "src/base/fair_mutex.h"
#include "src/engine/continuation.h"
#include "src/engine/prefix_cache.h"

namespace krait {

// A prompt and what to write after it.
struct Job {
  uint64_t tag = 0;             // the caller's
  std::vector<int32_t> prompt;  // at least one id, all within the embedding
  GenerateOptions options;      // interrupt is not looked at
  int32_t completions = 1;      // texts; text i draws as options.sequence + i
};

struct JobResult {
  uint64_t tag = 0;
  std::vector<GenerateResult> completions;  // in the order of their sequences
  std::string error;                        // not empty: what failed; there are no completions then
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of these: copied from another job that began the same way
};

// One thread uses it, others may use the engine meanwhile. The engine must outlive it.
class Scheduler {
 public:
  // `slots` sequences at most at a time. Throws Failure when memory for their states is lacking.
  Scheduler(Engine& engine, int32_t slots);
  ~Scheduler();

  // Whether fewer jobs are waiting than there are slots. (Waiting ones are looked at for what they
  // share.)
  bool wants_jobs() const noexcept;
  bool idle() const noexcept { return jobs_ == 0; }

  // Throws InputError for options out of range or an id outside the embedding; nothing has changed
  // then.
  void submit(Job job);

  // One step of all sequences; whatever jobs end in it are handed to `on_done`. Not when idle().
  void step(const std::function<void(JobResult&&)>& on_done);

  int64_t tokens_fed() const noexcept { return tokens_fed_; }          // of prompts
  int64_t tokens_written() const noexcept { return tokens_written_; }  // chosen by sampling

 private:
  struct Running;  // a job that was submitted
  struct Sequence;

  void advance();
  void admit();
  void pack();
  void add(Sequence& sequence, std::span<const int32_t> ids, bool wants_logits);
  bool begin_prompt(Sequence& sequence);
  void plan_shared(Sequence& sequence);
  void keep_shared();
  void fork(const Sequence& sequence);
  void draw(const Rows& logits);
  void consume(Sequence& sequence, std::span<const float> logits, int32_t drawn);
  void retire(const std::function<void(JobResult&&)>& on_done);
  float* state_of(int32_t slot) const { return states_->data + slot * floats_per_slot_; }

  Engine& engine_;
  std::unique_lock<FairMutex> turn_;  // held while this is made and, the last to go, while it ends
  int32_t slots_;
  int32_t prompt_tokens_;  // of all prompts together in one step
  int64_t floats_per_slot_;
  std::unique_ptr<Buffer> states_;  // slot s at s * floats_per_slot_
  std::unique_ptr<Workspace> workspace_;
  PrefixCache prefixes_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::deque<std::unique_ptr<Sequence>> forks_;     // past their prompt, waiting for a slot
  std::vector<std::unique_ptr<Sequence>> running_;  // oldest first
  std::vector<int32_t> free_slots_;
  size_t jobs_ = 0;  // submitted and not yet handed back
  int64_t tokens_fed_ = 0, tokens_written_ = 0;

  // The step being packed.
  std::vector<int32_t> ids_;
  std::vector<Segment> segments_;
  std::vector<int32_t> logit_rows_;
  std::vector<Sequence*> logit_owners_;  // of logit_rows_
  std::vector<float> logits_;            // of one row
  std::unique_ptr<Drawing> drawing_;     // null where the device draws nothing
  std::vector<Draw> draws_;              // of logit_rows_
  std::vector<int32_t> drawn_;           // of logit_rows_; negative: not
  std::vector<size_t> host_draws_;       // those of draws_ that do not count
};

}  // namespace krait
