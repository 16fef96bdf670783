// The engine joins the layers: it opens a model by name, holds sessions, and runs the loops that
// the commands are made of. It never prints and never exits.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "krait/backend.h"
#include "krait/checkpoint.h"
#include "krait/model.h"
#include "krait/sampler.h"
#include "krait/session.h"
#include "krait/state.h"
#include "krait/tokenizer.h"

namespace krait {

class FairMutex;

struct OpenOptions {
  std::string model;      // folder, file, hub id, bundled name; empty: bundled default
  std::string tokenizer;  // a file, a folder or "bytes"; empty: the model's own
  BackendOptions backend;
  std::optional<DType> dtype;  // weights; nullopt: as stored
  int32_t chunk = 0;           // tokens per prefill block; 0: the default
  // What it will be used for, so that it is refused where memory cannot suffice.
  int32_t slots = 1;                    // sequences at a time
  bool all_logits = false;              // of every token of a prompt
  std::optional<int64_t> memory_limit;  // bytes for weights, states and activations; nullopt: what
                                        // the device has left
  // Where the device draws tokens: how many steps it may be ahead of the host, and after how many
  // there is a copy of the state to go back to.
  int64_t steps_ahead = 8;
  int64_t backup_every = 16;
  // Instead of make_backend().
  std::function<std::unique_ptr<Backend>(const BackendOptions&)> make_backend = krait::make_backend;
  Warn warn = [](const std::string&) {};
};

// What generation_config.json, config.json or the metadata of a GGUF file say of special ids.
struct SpecialIds {
  std::vector<int32_t> eos;
  int32_t bos = -1;
};

// Everything known of a model without loading its weights onto a backend.
struct ModelFiles {
  std::string name;  // as the user named it
  std::string path;  // what that resolved to
  std::unique_ptr<Checkpoint> checkpoint;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;  // null when the model has none
  SpecialIds special;
};

// Resolves the name, maps the checkpoint, reads config and tokenizer. Throws InputError.
ModelFiles open_model_files(const OpenOptions& options);

// The chat template that came with the model: chat_template.jinja, else the one in
// tokenizer_config.json (of several, that called "default"), else the GGUF file's; nullopt when
// there is none. Throws InputError for a file that cannot be read or a template that is no text.
std::optional<std::string> chat_template(const ModelFiles& files);

// What a model's files say of conversations.
struct ChatSource {
  std::optional<std::string> text;   // the template
  std::string file;                  // where it stands
  std::string bos_token, eos_token;  // as templates write them; empty where there is none
};

// Throws as chat_template() does.
ChatSource chat_source(const ModelFiles& files);

// Special ids that generating text does not need. -1: none.
struct AuxiliaryIds {
  int32_t pad = -1;
  int32_t unk = -1;
};
AuxiliaryIds auxiliary_ids(const ModelFiles& files);

struct Timings {
  double load_ms = 0;
  double prefill_ms = 0;
  double decode_ms = 0;
  int64_t decode_steps = 0;  // in decode_ms: the first token of a text comes from the prefill
};

// A loaded model with its backend.
//
// Thread safety: any number of threads may use one engine at once, each with sessions (or
// conversations, batches) of its own: all functions here and in session.h, batch.h and
// conversation.h, with their own arguments. They take turns, an operation at a time and in the
// order in which they ask; an operation is split over the threads of the backend anyway. The bits
// are those that each gets alone. Engines know nothing of one another. Two things are for a thread
// that is alone with the engine: bench() and measure_startup(), which measure, and calls of
// backend() and model() by others than the library, save those that change nothing.
//
// All computing threads need the floating-point environment that a program starts with: rounding
// to nearest, subnormals kept.
class Engine {
 public:
  // Throws InputError for what cannot be used, a model that does not fit in memory among it, before
  // anything large is allocated; Failure when memory ends all the same.
  static std::unique_ptr<Engine> open(const OpenOptions& options);
  virtual ~Engine() = default;

  virtual const Model& model() const noexcept = 0;
  virtual const Tokenizer* tokenizer() const noexcept = 0;  // null when the model has none
  virtual const SpecialIds& special() const noexcept = 0;
  virtual const std::string& name() const noexcept = 0;
  virtual Backend& backend() noexcept = 0;
  // Who calls operations of the backend, or the model's, holds it; sessions do so by themselves.
  virtual FairMutex& mutex() noexcept = 0;
  virtual double load_ms() const noexcept = 0;

  // Tells models apart: a hash of the config, of names, types and shapes of all tensors, and of
  // bytes spread over each of them (small tensors whole). Other training, another size, another
  // conversion give another value; a change that spares all the bytes looked at does not. The same
  // whatever type the weights are converted to at load.
  virtual uint64_t fingerprint() const noexcept = 0;

  // Throws InputError when the model's files about it cannot be used.
  virtual const ChatSource& chat_source() const = 0;

  // Ids that may be sampled: min(tokenizer size, embedding rows).
  virtual int32_t sampled_vocab() const noexcept = 0;

  // Encodes a prompt; an empty prompt becomes BOS or, failing that, EOS, so that there is always a
  // token to start from. Throws InputError when there is no tokenizer or no such id.
  virtual std::vector<int32_t> encode_prompt(std::string_view text) const = 0;

  // Encodes text that goes on from an earlier one: nothing is put around it, neither special tokens
  // nor a space, and an empty text gives no ids. Throws InputError when there is no tokenizer.
  virtual std::vector<int32_t> encode_continuation(std::string_view text) const = 0;

  virtual std::unique_ptr<Session> session(History history = History::keep) = 0;
};

enum class FinishReason { stop, length, eos, interrupted };
std::string_view to_string(FinishReason reason) noexcept;  // "stop", "length", "eos", …

// The log-probabilities below are natural logarithms of what the model gives to a token after those
// before it: before bias, penalties and temperature.
struct ScoredToken {
  int32_t id = 0;
  double logprob = 0;
};

struct GenerateOptions {
  int64_t max_tokens = 256;  // -1: until EOS
  SamplingOptions sampling;
  uint64_t seed = 0;
  uint64_t sequence = 0;          // completions of one seed differ in this
  std::vector<std::string> stop;  // text that ends the output; not part of it
  std::vector<int32_t> stop_ids;  // end it as EOS does
  bool ignore_eos = false;        // the model's own; stop_ids hold all the same
  // The session will be continued from: its last token is fed, too (one more step), and a character
  // that ends incomplete is left to the continuation.
  bool resumable = false;
  std::optional<int32_t> logprobs;  // also find the log-probability of each token and the top N
  const std::atomic<bool>* interrupt = nullptr;  // set by Ctrl-C; checked per token
};

struct TokenLogprobs {
  double logprob = 0;            // of the token that was drawn
  std::vector<ScoredToken> top;  // the likeliest, best first
};

struct GenerateResult {
  std::string text;
  std::vector<int32_t> ids;  // generated, EOS not included
  FinishReason finish_reason = FinishReason::length;
  int64_t prompt_tokens = 0;  // given; all of them were fed unless the session has no logits
  uint64_t sequence = 0;
  std::vector<TokenLogprobs> logprobs;  // one for each of ids, where asked for
  double mean_logprob = 0;              // of all tokens drawn, EOS included; where asked for
  Timings timings;
};

// Feeds `prompt` to `session` and continues it; without a prompt, goes on from the session's
// logits. Penalties look at all the session's ids. `on_text` receives valid UTF-8 as it becomes
// certain (text that may yet turn out to be a stop string is held back), beginning with the
// character that the sequence so far ended in, if that was incomplete; returning false ends the
// generation as interrupted. Stop strings are looked for in this call's text.
//
// Two calls, the first one resumable and the second without a prompt, give together what one would
// have given, byte for byte, as long as no stop string lies across the cut.
GenerateResult generate(Engine& engine, Session& session, std::span<const int32_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& on_text);

struct CompletionsOptions {
  int32_t count = 1;    // how many to return
  int32_t best_of = 1;  // how many to generate; at least count
};

struct Completions {
  // At least one. In order of their sequences when all are returned, else those with the highest
  // mean log-probability, best first. Fewer than asked for after an interrupt.
  std::vector<GenerateResult> choices;
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;  // of all that were generated
  bool interrupted = false;       // before all were finished
  Timings timings;                // of all together
};

// Several completions of one prompt, which is fed once: completion i draws with the sequence
// options.sequence + i and is exactly what generate() would give with that. `on_text` is told which
// one a text belongs to. Afterwards, with `resumable`, the session stands after the first choice.
// Throws InputError for counts out of range.
Completions complete(Engine& engine, Session& session, std::span<const int32_t> prompt,
                     const GenerateOptions& options, const CompletionsOptions& completions,
                     const std::function<bool(int32_t index, std::string_view)>& on_text);

// Writes the file so that under its name there is always a whole one, the old or the new. `planes`:
// f32, exact, or bf16, half the size. Throws InputError where there can be no such file, Failure
// for a full disk and the like.
void save_state(const Engine& engine, const SavedState& state, const std::string& path,
                DType planes = DType::f32);

// Throws InputError naming file, field, what was found and what was expected for anything but a
// whole state of this engine's model.
SavedState load_state(const Engine& engine, const std::string& path);

// What continuing from `other` instead of `exact` changes: the largest difference between the
// logits one step later, as a share of the largest of them.
double state_error(Engine& engine, const Snapshot& exact, const Snapshot& other);

// Feeds `ids` to a session and scores each, given everything before it. The first of a sequence has
// nothing before it: 0. `on_logits`, if given, sees row t = logits after token t, in order. Stops
// early as Session::feed does.
std::vector<ScoredToken> score_next(
    const Engine& engine, Session& session, std::span<const int32_t> ids,
    const std::function<void(std::span<const float>)>& on_logits = {},
    const std::atomic<bool>* stop = nullptr);

struct ScoreResult {
  std::vector<ScoredToken> tokens;
  double nll = 0;         // sum over tokens 1..T-1, nats
  double perplexity = 0;  // exp(nll / (T-1)); 1 for a single token
};

ScoreResult score(Engine& engine, std::span<const int32_t> ids,
                  const std::function<void(std::span<const float>)>& on_logits = {},
                  const std::atomic<bool>* stop = nullptr);

}  // namespace krait
