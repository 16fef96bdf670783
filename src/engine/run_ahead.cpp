#include "src/engine/run_ahead.h"

#include "krait/error.h"

namespace krait {
namespace {

constexpr int32_t kAnyId = 0;  // in place of what only the device knows
constexpr Segment kSegment{0, 0, 1};
constexpr int32_t kRow = 0;

}  // namespace

std::optional<Draw> device_draw(const SamplingOptions& o, int32_t vocab, uint64_t seed,
                                uint64_t sequence, int64_t position) {
  if (!o.logit_bias.empty() || looks_back(o)) return std::nullopt;
  Draw draw{.seed = seed, .sequence = sequence, .position = static_cast<uint64_t>(position)};
  if (o.temperature == 0.0f || o.top_k == 1) return draw;  // the likeliest
  if (o.typical_p < 1.0f || o.top_k < 1 || o.top_k > Drawing::kMostTopK || o.top_k >= vocab)
    return std::nullopt;
  draw.temperature = o.temperature;
  draw.top_p = o.top_p;
  draw.min_p = o.min_p;
  draw.top_k = o.top_k;
  return draw;
}

RunAhead::RunAhead(Backend& backend, const Model& model, Buffer& state, Options options)
    : backend_(backend), model_(model), state_(state), options_(options) {
  KRAIT_CHECK(options.steps >= 1 && options.steps <= Drawing::kMostAhead &&
              options.backup_every >= 1);
  for (Copy& copy : copies_) copy.state = backend.buffer(state.size);
}

bool RunAhead::run(const Draw& draw, int32_t first, int64_t most, Workspace& workspace,
                   Drawing& drawing, const std::function<Verdict(int32_t)>& on_id) {
  KRAIT_CHECK(most >= 1);
  launched_ = 0;
  fed_ = 1;
  first_id_ = 0;
  ids_.assign(1, first);
  for (Copy& copy : copies_) copy.at = -1;
  drawing.start({&draw, 1}, ids_);
  Verdict verdict = Verdict::feed;
  while (verdict == Verdict::feed && fed_ < most) {
    // No step for the last id: who wants the logits after it can still have them.
    while (launched_ < std::min(fed_ + options_.steps, most) - 1) step(workspace, drawing);
    int32_t id = -1;
    drawing.wait(fed_ - 1, {&id, 1});
    if (id < 0) return false;
    verdict = on_id(id);
    if (verdict == Verdict::stop) break;
    ids_.push_back(id);
    ++fed_;
  }
  return true;
}

void RunAhead::step(Workspace& workspace, Drawing& drawing) {
  keep_state();
  logits_ = model_.forward({{&kAnyId, 1}, {&kSegment, 1}, {&kRow, 1}, &drawing},
                           {state_.data, state_.size}, workspace);
  ++launched_;
}

// A copy of the state, where it is time and the older of the two is no longer needed.
void RunAhead::keep_state() {
  const int64_t last = copies_[newest_].at;
  if (last >= 0 && (launched_ - last < options_.backup_every || last >= fed_)) return;
  newest_ = 1 - newest_;
  backend_.copy(state_.data, copies_[newest_].state->data, state_.size);
  copies_[newest_].at = launched_;
  if (last < 0) return;
  ids_.erase(ids_.begin(), ids_.begin() + (last - first_id_));
  first_id_ = last;
}

std::span<const int32_t> RunAhead::go_back() {
  KRAIT_CHECK(!is_exact());
  int64_t from = launched_;
  if (launched_ > fed_) {
    const Copy& copy = copies_[copies_[newest_].at < fed_ ? newest_ : 1 - newest_];
    KRAIT_CHECK(copy.at >= 0 && copy.at < fed_);
    backend_.copy(copy.state->data, state_.data, state_.size);
    from = copy.at;
  }
  launched_ = fed_;
  return std::span(ids_).subspan(static_cast<size_t>(from - first_id_));
}

}  // namespace krait
