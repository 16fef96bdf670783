// What selective memory is good for, shown on the bundled models: the two recall tasks of the Mamba
// paper (Gu and Dao, 2023, section 4.1), drawn at random and put to any model of token ids, and
// facts that a conversation is asked for after a long distraction. `krait demo`. Nobody else uses an
// engine while it is measured.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "krait/chat_format.h"
#include "krait/engine.h"

namespace krait {

// induction: ids 0 to 14 at random; at a random place the special id 15, whose next id is the
//   answer; the last id is 15 again, and the answer is expected after it.
// copying: 16 data ids, 0 to 15, at random places among the noise id 16; then 16 markers, id 17.
//   After the i-th marker the i-th data id is expected. The length counts the markers.
// The tasks of tools/train/recall_tasks.py.
enum class RecallTask { induction, copying };

std::string_view to_string(RecallTask task) noexcept;
int32_t vocabulary(RecallTask task) noexcept;  // 16, 18
double chance(RecallTask task) noexcept;       // of a guess among the ids that may be answers
inline constexpr int64_t kLeastRecallLength = 64;

// One sequence of a task. What it holds does not grow with its length: every id is a function of
// its place, the seed and the sequence's number.
class RecallSequence {
 public:
  // `length` is kLeastRecallLength or more.
  RecallSequence(RecallTask task, int64_t length, uint64_t seed, uint64_t number);

  // The ids at [first, first + out.size()).
  void read(int64_t first, std::span<int32_t> out) const;

  // The i-th is expected after the i-th of the last answers().size() ids.
  std::span<const int32_t> answers() const noexcept { return answers_; }
  int64_t length() const noexcept { return length_; }

 private:
  int32_t id(int64_t place) const;
  int32_t ordinary(int64_t place, int32_t count) const;

  RecallTask task_;
  int64_t length_;
  uint64_t key_;
  std::vector<int64_t> places_;  // of what is to be remembered, ascending
  std::vector<int32_t> answers_;
};

struct RecallOptions {
  RecallTask task = RecallTask::induction;
  int64_t length = 256;
  int64_t sequences = 20;
  uint64_t seed = 1;
  const std::atomic<bool>* stop = nullptr;
};

struct RecallResult {
  int64_t length = 0;
  int64_t sequences = 0;
  int64_t asked = 0, right = 0;  // answers, of all sequences
  double us_per_token = 0;       // of the median step
  int64_t resident_bytes = 0;    // of the process, at the end

  double accuracy() const { return static_cast<double>(right) / static_cast<double>(asked); }
};

// Reads the sequences, many side by side, each from an empty state, and looks whether the likeliest
// id of the vocabulary is the answer. `on_progress` is told of the tokens read since it was last
// called. Nothing when it was stopped. Throws InputError for a model that has fewer ids than the
// task.
std::optional<RecallResult> measure_recall(Engine& engine, const RecallOptions& options,
                                           const std::function<void(int64_t)>& on_progress);

// What a Transformer with as many layers and channels (one head or many: it is the same) needs
// after `length` tokens, beyond its weights.
struct TransformerCost {
  int64_t kv_bytes = 0;         // K and V of every token in float32: 2 n_layer d_model 4 length
  int64_t attention_flops = 0;  // of the next token, q K and the sum of V: 4 n_layer d_model length
};
TransformerCost transformer_cost(const ModelConfig& config, int64_t length);

// Memory that the process has resident now; 0 where the system does not tell.
int64_t resident_bytes();

struct RememberOptions {
  int64_t turns = 40;         // of tales between the facts and the questions
  int64_t tale_tokens = 100;  // of each, at most
  SamplingOptions sampling;   // of the tales; answers are greedy
  uint64_t seed = 1;
  const std::atomic<bool>* stop = nullptr;
};

struct Remembered {
  std::string told;      // "The golden key is under the mill."
  std::string question;  // "Where is the golden key?"
  std::string answer;    // what the model said
  std::string expected;  // what it must contain: "under the mill"
  bool right = false;
};

struct RememberResult {
  std::vector<Remembered> facts;
  int64_t distraction_tokens = 0;  // between the last fact and the first question
};

// A conversation in which facts are told, tales follow, and the facts are asked for. `on_turn` is
// called after each turn. Nothing when it was stopped.
std::optional<RememberResult> measure_remembering(Engine& engine, const ChatFormat& format,
                                                  const RememberOptions& options,
                                                  const std::function<void()>& on_turn);

// Turns of such a conversation.
int64_t remembering_turns(const RememberOptions& options);

}  // namespace krait
