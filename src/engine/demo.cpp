#include "krait/demo.h"

#include <algorithm>
#include <fstream>
#include <memory>

#include <unistd.h>

#include "krait/error.h"
#include "src/base/clock.h"

namespace krait {
namespace {

constexpr int64_t kMostSlots = 16;
constexpr int64_t kMeasuredSteps = 1000;
constexpr int64_t kStepTokens = 128;  // of all sequences of a step together, at least

// Sequences of one task that are read side by side.
class RecallReader {
 public:
  RecallReader(Engine& engine, const RecallOptions& options)
      : engine_(engine),
        options_(options),
        slots_(std::min(options.sequences, kMostSlots)),
        floats_(engine.model().state_layout().floats_per_slot()),
        answers_(std::ssize(sequence(0).answers())),
        // All answers of a sequence lie in its last piece.
        piece_(std::max(step_tokens() / slots_, answers_)),
        states_(engine.backend().buffer(slots_ * floats_)),
        workspace_(engine.model().workspace(static_cast<int32_t>(slots_ * piece_),
                                            static_cast<int32_t>(slots_ * answers_))),
        steps_between_(1 +
                       options.length * options.sequences / (slots_ * piece_ * kMeasuredSteps)) {
    us_per_token_.reserve(2 * kMeasuredSteps);
  }

  // False when it was stopped.
  bool read_all(RecallResult& result, const std::function<void(int64_t)>& on_progress) {
    for (int64_t first = 0; first < options_.sequences; first += slots_) {
      group_.clear();
      for (int64_t i = first; i < std::min(first + slots_, options_.sequences); ++i)
        group_.push_back(sequence(i));
      engine_.backend().zero(states_->data, std::ssize(group_) * floats_);
      // The first piece is the short one.
      for (int64_t begin = 0; begin < options_.length;) {
        if (options_.stop && options_.stop->load(std::memory_order_relaxed)) return false;
        const int64_t left = options_.length - begin, count = (left - 1) % piece_ + 1;
        const Stopwatch watch;
        const Rows logits = step(begin, count, left == count);
        if (left == count) judge(logits, result);
        engine_.backend().synchronize();
        const auto tokens = static_cast<double>(count * std::ssize(group_));
        if (steps_++ % steps_between_ == 0) us_per_token_.push_back(1e3 * watch.ms() / tokens);
        begin += count;
        if (on_progress) on_progress(count * std::ssize(group_));
      }
    }
    const auto middle = us_per_token_.begin() + std::ssize(us_per_token_) / 2;
    std::nth_element(us_per_token_.begin(), middle, us_per_token_.end());
    result.us_per_token = *middle;
    return true;
  }

 private:
  RecallSequence sequence(int64_t number) const {
    return {options_.task, options_.length, options_.seed, static_cast<uint64_t>(number)};
  }
  int64_t step_tokens() const {
    return std::max<int64_t>(engine_.backend().info().prefill_tokens, kStepTokens);
  }

  Rows step(int64_t begin, int64_t count, bool last) {
    const int64_t size = std::ssize(group_);
    ids_.resize(static_cast<size_t>(size * count));
    segments_.clear();
    rows_.clear();
    for (int64_t i = 0; i < size; ++i) {
      group_[i].read(begin, std::span(ids_).subspan(i * count, count));
      segments_.push_back(
          {static_cast<int32_t>(i), static_cast<int32_t>(i * count), static_cast<int32_t>(count)});
      for (int64_t row = count - answers_; last && row < count; ++row)
        rows_.push_back(static_cast<int32_t>(i * count + row));
    }
    return engine_.model().forward({ids_, segments_, rows_}, {states_->data, floats_}, *workspace_);
  }

  void judge(const Rows& logits, RecallResult& result) {
    std::vector<float> row(static_cast<size_t>(logits.cols));
    for (int64_t i = 0; i < logits.rows; ++i) {
      engine_.backend().read(logits.data + i * logits.stride, row);
      const auto end = row.begin() + vocabulary(options_.task);
      const auto likeliest = std::max_element(row.begin(), end) - row.begin();
      ++result.asked;
      result.right += likeliest == group_[i / answers_].answers()[i % answers_];
    }
  }

  Engine& engine_;
  const RecallOptions& options_;
  int64_t slots_, floats_, answers_, piece_;
  std::unique_ptr<Buffer> states_;
  std::unique_ptr<Workspace> workspace_;
  std::vector<RecallSequence> group_;
  std::vector<int32_t> ids_, rows_;
  std::vector<Segment> segments_;
  int64_t steps_ = 0;
  int64_t steps_between_;  // those that are measured: some kMeasuredSteps, whatever the length
  std::vector<double> us_per_token_;  // of these
};

}  // namespace

std::optional<RecallResult> measure_recall(Engine& engine, const RecallOptions& options,
                                           const std::function<void(int64_t)>& on_progress) {
  KRAIT_CHECK(options.sequences > 0);
  const int64_t vocab = engine.model().config().vocab_size;
  if (vocab < vocabulary(options.task))
    throw InputError(engine.name() + " has " + std::to_string(vocab) + " ids; the task " +
                     std::string(to_string(options.task)) + " needs " +
                     std::to_string(vocabulary(options.task)));
  RecallResult result{.length = options.length, .sequences = options.sequences};
  RecallReader reader(engine, options);
  if (!reader.read_all(result, on_progress)) return std::nullopt;
  result.resident_bytes = resident_bytes();
  return result;
}

TransformerCost transformer_cost(const ModelConfig& config, int64_t length) {
  const int64_t channels = std::ssize(config.layers) * config.d_model;  // of all layers
  return {.kv_bytes = 2 * channels * static_cast<int64_t>(sizeof(float)) * length,
          .attention_flops = 4 * channels * length};
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace krait
