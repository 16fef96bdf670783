#include "src/engine/scheduler.h"

#include <algorithm>

#include "krait/error.h"
#include "src/engine/finite_logits.h"
#include "src/engine/run_ahead.h"

namespace krait {
namespace {

constexpr int64_t kLeastShared = 16;  // a shared beginning that is worth a copy of the state
constexpr size_t kPrefixStates = 8;

}  // namespace

struct Scheduler::Running {
  JobResult result;
  GenerateOptions options_of(int32_t completion) const {
    GenerateOptions own = options;
    own.sequence += static_cast<uint64_t>(completion);
    return own;
  }

  GenerateOptions options;  // without the stop strings
  std::shared_ptr<const StopStrings> stops;
  std::vector<int32_t> prompt;
  int32_t open = 0;  // completions whose slots are not free again
};

struct Scheduler::Sequence {
  Sequence(const Engine& engine, std::shared_ptr<Running> running, int32_t which)
      : job(std::move(running)),
        index(which),
        text(engine, job->options_of(which), job->prompt, {}, job->stops) {}

  bool in_prompt() const noexcept { return position < static_cast<int64_t>(job->prompt.size()); }

  std::shared_ptr<Running> job;
  int32_t index;  // of the completion
  Continuation text;
  int32_t slot = -1;
  bool started = false;  // the slot holds the state after `position` tokens
  bool over = false;
  int64_t position = 0;    // tokens fed
  int64_t shared_end = 0;  // the state after that many prompt tokens is to be kept for others
  int32_t next = -1;       // past the prompt: the id to feed
  std::shared_ptr<const Buffer> fork_state;  // of a fork: where it begins, after the prompt
  std::shared_ptr<const std::vector<float>> fork_logits;
};

Scheduler::Scheduler(Engine& engine, int32_t slots)
    : engine_(engine),
      turn_(engine.mutex()),
      slots_(slots),
      prompt_tokens_(engine.backend().info().prefill_tokens),
      floats_per_slot_(engine.model().state_layout().floats_per_slot()),
      states_(engine.backend().buffer(slots * floats_per_slot_)),
      workspace_(engine.model().workspace(slots + prompt_tokens_, slots)),
      prefixes_(engine.backend(), floats_per_slot_, kPrefixStates),
      logits_(static_cast<size_t>(engine.model().config().embedding_rows)),
      drawing_(engine.backend().drawing(slots, engine.sampled_vocab())) {
  KRAIT_CHECK(slots >= 1);
  for (int32_t slot = slots; slot-- > 0;) free_slots_.push_back(slot);
  turn_.unlock();
}

Scheduler::~Scheduler() { turn_.lock(); }

bool Scheduler::wants_jobs() const noexcept {
  return waiting_.size() < static_cast<size_t>(slots_);
}

void Scheduler::submit(Job job) {
  KRAIT_CHECK(!job.prompt.empty() && job.completions >= 1);
  const int64_t rows = engine_.model().config().embedding_rows;
  for (const int32_t id : job.prompt)
    if (id < 0 || id >= rows)
      throw InputError("token id " + std::to_string(id) + " in the prompt; expected 0 to " +
                       std::to_string(rows - 1));
  const auto running = std::make_shared<Running>();
  running->result.tag = job.tag;
  running->result.prompt_tokens = static_cast<int64_t>(job.prompt.size());
  running->result.completions.resize(static_cast<size_t>(job.completions));
  running->stops = std::make_shared<const StopStrings>(std::move(job.options.stop));
  running->options = std::move(job.options);
  running->options.stop.clear();
  running->prompt = std::move(job.prompt);
  running->open = job.completions;
  waiting_.push_back(std::make_unique<Sequence>(engine_, running, 0));
  ++jobs_;
}

void Scheduler::step(const std::function<void(JobResult&&)>& on_done) {
  KRAIT_CHECK(!idle());
  advance();
  retire(on_done);
}

void Scheduler::advance() {
  const std::scoped_lock turn(engine_.mutex());
  admit();
  pack();
  if (ids_.empty()) return;
  const Step step{ids_, segments_, logit_rows_};
  const Rows logits = engine_.model().forward(step, {states_->data, floats_per_slot_}, *workspace_);
  keep_shared();
  draw(logits);
  for (int64_t row = 0; row < logits.rows; ++row) {
    Sequence& owner = *logit_owners_[static_cast<size_t>(row)];
    const int32_t drawn = drawn_[static_cast<size_t>(row)];
    const bool forks =
        owner.next < 0 && owner.index == 0 && owner.job->result.completions.size() > 1;
    if (drawn < 0 || forks) engine_.backend().read(logits.data + row * logits.stride, logits_);
    if (forks) fork(owner);
    consume(owner, logits_, drawn);
  }
}

// Fills the free slots: first with the other completions of a prompt that has been read.
void Scheduler::admit() {
  while (!free_slots_.empty() && !(forks_.empty() && waiting_.empty())) {
    auto& queue = forks_.empty() ? waiting_ : forks_;
    std::unique_ptr<Sequence> sequence = std::move(queue.front());
    queue.pop_front();
    sequence->slot = free_slots_.back();
    free_slots_.pop_back();
    if (sequence->fork_state) {
      engine_.backend().copy(sequence->fork_state->data, state_of(sequence->slot),
                             floats_per_slot_);
      consume(*sequence, *sequence->fork_logits, -1);
      sequence->fork_state.reset();
      sequence->fork_logits.reset();
    }
    running_.push_back(std::move(sequence));
  }
}

// The step's tokens: one of every text, then as many of the prompts as fit, oldest first.
void Scheduler::pack() {
  ids_.clear();
  segments_.clear();
  logit_rows_.clear();
  logit_owners_.clear();
  for (const auto& sequence : running_)
    if (!sequence->over && !sequence->in_prompt()) add(*sequence, {&sequence->next, 1}, true);
  int64_t budget = prompt_tokens_;
  for (const auto& sequence : running_) {
    if (budget == 0) break;
    if (sequence->over || !sequence->in_prompt() || !begin_prompt(*sequence)) continue;
    const std::span<const int32_t> prompt = sequence->job->prompt;
    const auto size = static_cast<int64_t>(prompt.size());
    const int64_t end = sequence->shared_end > sequence->position ? sequence->shared_end : size;
    const int64_t count = std::min(budget, end - sequence->position);
    budget -= count;
    tokens_fed_ += count;
    add(*sequence, prompt.subspan(static_cast<size_t>(sequence->position), count),
        sequence->position + count == size);
  }
}

void Scheduler::add(Sequence& sequence, std::span<const int32_t> ids, bool wants_logits) {
  segments_.push_back(
      {sequence.slot, static_cast<int32_t>(ids_.size()), static_cast<int32_t>(ids.size())});
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  sequence.position += static_cast<int64_t>(ids.size());
  if (!wants_logits) return;
  logit_rows_.push_back(static_cast<int32_t>(ids_.size()) - 1);
  logit_owners_.push_back(&sequence);
}

// Puts the state before the prompt, or after a beginning that is known, into the slot. False while
// such a beginning is still being read by another sequence.
bool Scheduler::begin_prompt(Sequence& sequence) {
  if (sequence.started) return true;
  const PrefixCache::Entry* known = prefixes_.find(sequence.job->prompt);
  if (known && !known->state) return false;
  sequence.started = true;
  if (known) {
    sequence.position = static_cast<int64_t>(known->ids.size());
    sequence.job->result.cached_tokens = sequence.position;
    engine_.backend().copy(known->state->data, state_of(sequence.slot), floats_per_slot_);
  } else {
    engine_.backend().zero(state_of(sequence.slot), floats_per_slot_);
  }
  plan_shared(sequence);
  return true;
}

// Looks for the beginning that saves most, given all jobs that have not begun to read: its length
// times the number of jobs that have it.
void Scheduler::plan_shared(Sequence& sequence) {
  const std::span<const int32_t> prompt = sequence.job->prompt;
  std::vector<int64_t> lengths;
  const auto look_at = [&](const Sequence& other) {
    if (&other == &sequence || other.started || !other.in_prompt()) return;
    const std::span<const int32_t> ids = other.job->prompt;
    lengths.push_back(std::min(common_prefix(prompt, ids),
                               static_cast<int64_t>(std::min(prompt.size(), ids.size())) - 1));
  };
  for (const auto& other : running_) look_at(*other);
  for (const auto& other : waiting_) look_at(*other);
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  int64_t best = 0, best_saving = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t saving = (lengths[i] - sequence.position) * static_cast<int64_t>(i + 1);
    if (saving <= best_saving) continue;
    best_saving = saving;
    best = lengths[i];
  }
  if (best - sequence.position < kLeastShared) return;
  sequence.shared_end = best;
  prefixes_.announce(prompt.first(static_cast<size_t>(best)));
}

void Scheduler::keep_shared() {
  for (const auto& sequence : running_) {
    if (sequence->shared_end == 0 || sequence->position != sequence->shared_end) continue;
    const std::span<const int32_t> prompt = sequence->job->prompt;
    prefixes_.store(prompt.first(static_cast<size_t>(sequence->shared_end)),
                    state_of(sequence->slot));
    sequence->shared_end = 0;
  }
}

// At the end of the prompt: the job's other completions begin from a copy of the state.
void Scheduler::fork(const Sequence& sequence) {
  const size_t count = sequence.job->result.completions.size();
  std::shared_ptr<Buffer> state = engine_.backend().buffer(floats_per_slot_);
  engine_.backend().copy(state_of(sequence.slot), state->data, floats_per_slot_);
  const auto logits = std::make_shared<const std::vector<float>>(logits_);
  for (size_t index = 1; index < count; ++index) {
    auto other = std::make_unique<Sequence>(engine_, sequence.job, static_cast<int32_t>(index));
    other->position = sequence.position;
    other->fork_state = state;
    other->fork_logits = logits;
    forks_.push_back(std::move(other));
  }
}

// Lets the device draw the next token of all sequences that need no more of their logits than that.
void Scheduler::draw(const Rows& logits) {
  drawn_.assign(logit_owners_.size(), -1);
  if (!drawing_ || logit_owners_.empty()) return;
  draws_.clear();
  host_draws_.clear();
  for (const Sequence* owner : logit_owners_) {
    const GenerateOptions& options = owner->job->options;
    const auto sequence = options.sequence + static_cast<uint64_t>(owner->index);
    const auto draw = options.logprobs ? std::nullopt
                                       : device_draw(options.sampling, engine_.sampled_vocab(),
                                                     options.seed, sequence, owner->position);
    if (!draw) host_draws_.push_back(draws_.size());
    draws_.push_back(draw.value_or(Draw{}));
  }
  if (host_draws_.size() == draws_.size()) return;
  drawing_->start(draws_, {});
  engine_.backend().draw(logits, *drawing_);
  drawing_->wait(0, drawn_);
  for (const size_t row : host_draws_) drawn_[row] = -1;
}

// Chooses the next token, unless it is drawn already, or ends the text. Logits that cannot be
// sampled end the job.
void Scheduler::consume(Sequence& sequence, std::span<const float> logits, int32_t drawn) {
  Running& job = *sequence.job;
  try {
    if (drawn < 0) {
      const int32_t last = sequence.next < 0 ? job.prompt.back() : sequence.next;
      require_finite_logits(engine_, logits,
                            {sequence.position, last, {state_of(sequence.slot), floats_per_slot_}});
    }
    if (!sequence.text.over())
      sequence.next = (drawn < 0 ? sequence.text.next(logits, sequence.position)
                                 : sequence.text.take_drawn(drawn))
                          .value_or(-1);
  } catch (const Failure& e) {
    job.result.error = e.what();
    sequence.text.interrupt();
  }
  sequence.over = sequence.text.over();
  if (!sequence.over) return;
  GenerateResult& completion = job.result.completions[static_cast<size_t>(sequence.index)];
  completion = sequence.text.take();
  tokens_written_ += static_cast<int64_t>(completion.ids.size());
}

void Scheduler::retire(const std::function<void(JobResult&&)>& on_done) {
  for (const auto& sequence : running_) {
    if (!sequence->over) continue;
    free_slots_.push_back(sequence->slot);
    if (--sequence->job->open > 0) continue;
    --jobs_;
    JobResult& result = sequence->job->result;
    if (!result.error.empty()) result.completions.clear();
    on_done(std::move(result));
  }
  std::erase_if(running_, [](const auto& sequence) { return sequence->over; });
}

}  // namespace krait
