#include "src/engine/answer.h"

#include <limits>
#include <span>

namespace krait {
namespace {

bool is_set(const std::atomic<bool>* flag) { return flag && flag->load(std::memory_order_relaxed); }

}  // namespace

void Answer::write() {
  if (!options_.logprobs && session_.runs_ahead(options_.sampling))
    write_freely();
  else
    write_looking();
}

// One more token; nullopt where the answer ends without it.
std::optional<int32_t> Answer::take(const std::function<std::optional<int32_t>()>& draw) {
  const bool is_clean = !text_.holds_back();
  const size_t length = text_.text().size();
  const std::optional<int32_t> id = draw();
  if (is_clean && (text_.holds_back() || text_.stopped()))
    mark_ = {start_ ? nullptr : session_.snapshot(), ids_.size(), length};
  if (!id || text_.stopped()) return std::nullopt;
  ids_.push_back(*id);
  return id;
}

void Answer::write_looking() {
  while (!text_.over()) {
    if (is_set(options_.interrupt)) {
      text_.interrupt();
      break;
    }
    const auto id = take([&] { return text_.next(session_.logits(), session_.position()); });
    if (!id) break;
    session_.feed({&*id, 1});
  }
}

void Answer::write_freely() {
  if (is_set(options_.interrupt)) text_.interrupt();
  if (text_.over()) return;
  start_ = session_.snapshot();
  const auto on_id = [&](int32_t drawn) {
    if (is_set(options_.interrupt)) {
      text_.interrupt();
      return Verdict::stop;
    }
    if (!take([&] { return text_.take_drawn(drawn); })) return Verdict::stop;
    return text_.over() ? Verdict::feed_and_stop : Verdict::feed;
  };
  const int64_t most =
      options_.max_tokens < 0 ? std::numeric_limits<int64_t>::max() : options_.max_tokens;
  session_.advance(options_.sampling, options_.seed, options_.sequence, most, on_id);
}

size_t Answer::go_back() {
  ids_.resize(mark_.ids);
  session_.restore(start_ ? start_ : mark_.snapshot);
  if (start_ && !ids_.empty()) session_.feed(ids_);
  return mark_.length;
}

}  // namespace krait
