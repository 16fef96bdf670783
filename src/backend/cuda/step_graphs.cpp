#include "src/backend/cuda/step_graphs.h"

#include <algorithm>
#include <utility>

#include "krait/error.h"

namespace krait::cuda {
namespace {

constexpr size_t kMostGraphs = 64;

// One token of each sequence, whose logits are all wanted.
bool is_decode(const StepKey& key) noexcept {
  const size_t tokens = key.ids.size();
  if (key.segments.size() != tokens || key.logit_rows.size() != tokens) return false;
  for (size_t i = 0; i < tokens; ++i)
    if (key.segments[i].length != 1 || key.logit_rows[i] != static_cast<int32_t>(i)) return false;
  return tokens > 0;
}

}  // namespace

void StepGraphs::clear() noexcept {
  KRAIT_CHECK(!recording());
  entries_.clear();
  moves_ = inputs_.moves();
}

// The step that was being recorded has failed, and said so.
void StepGraphs::abandon() {
  if (!recording_) return;
  recording_ = nullptr;
  inputs_.forget();
  try {
    end_capture(stream_);
  } catch (const Failure&) {
  }
}

void StepGraphs::limit_ids(int64_t rows) noexcept {
  if (recording_) recording_->id_limit = rows;
}

StepGraphs::Entry& StepGraphs::find(const StepKey& key, uint64_t chain) {
  const auto tokens = std::ssize(key.ids);
  for (Entry& e : entries_)
    if (e.workspace == key.workspace && e.chain == chain && e.states == key.states.data &&
        e.slot_stride == key.states.slot_stride && e.tokens == tokens)
      return e;
  if (entries_.size() == kMostGraphs) {
    synchronize(stream_);  // the oldest may be running
    entries_.erase(
        std::min_element(entries_.begin(), entries_.end(),
                         [](const Entry& a, const Entry& b) { return a.used < b.used; }));
  }
  Entry& e = entries_.emplace_back();
  e.workspace = key.workspace;
  e.chain = chain;
  e.states = key.states.data;
  e.slot_stride = key.states.slot_stride;
  e.tokens = tokens;
  return e;
}

void StepGraphs::replay(Entry& entry, const StepKey& key) {
  if (entry.chain != 0) {
    inputs_.set(key.ids, key.segments);  // nothing is copied while they stay the same
  } else {
    for (const int32_t id : key.ids) KRAIT_CHECK(id >= 0 && id < entry.id_limit);
    synchronize(stream_);  // the last replay may not have read its inputs yet
    inputs_.write(key.ids, key.segments, entry.inputs.get());
  }
  launch(stream_, entry.graph);
}

bool StepGraphs::begin(const StepKey& key, uint64_t chain) {
  abandon();
  if (!failure_.empty() || !is_decode(key)) {
    inputs_.set(key.ids, key.segments);
    return false;
  }
  if (moves_ != inputs_.moves()) clear();
  Entry& entry = find(key, chain);
  if (entry.graph) {
    entry.used = ++clock_;
    replay(entry, key);
    return true;
  }
  const bool first = std::exchange(entry.used, ++clock_) == 0;
  if (first) {
    inputs_.set(key.ids, key.segments);
    return false;
  }
  const auto count = std::ssize(key.ids);
  const int64_t bytes = StepInputs::bytes(count, count);
  if (chain != 0) {
    inputs_.set(key.ids, key.segments);
  } else {
    entry.inputs = allocate_pinned(bytes);
    inputs_.write(key.ids, key.segments, entry.inputs.get());
  }
  begin_capture(stream_);
  if (chain == 0) copy_to_device(stream_, entry.inputs.get(), inputs_.device(), bytes);
  recording_ = &entry;
  return false;
}

bool StepGraphs::end() {
  if (!recording_) return true;
  Entry& entry = *std::exchange(recording_, nullptr);
  try {
    entry.graph = end_capture(stream_);
  } catch (const Failure& e) {  // slower without, but right
    failure_ = std::string("steps run without graphs: ") + e.what();
    inputs_.forget();
    return false;
  }
  launch(stream_, entry.graph);
  return true;
}

}  // namespace krait::cuda
