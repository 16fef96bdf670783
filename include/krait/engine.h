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
#include "krait/tokenizer.h"

namespace krait {

struct OpenOptions {
  std::string model;      // folder, file, hub id, bundled name; empty: bundled default
  std::string tokenizer;  // a file, a folder or "bytes"; empty: the model's own
  BackendOptions backend;
  std::optional<DType> dtype;  // weights; nullopt: as stored
  int32_t chunk = 0;           // tokens per prefill block; 0: the default
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

struct Timings {
  double load_ms = 0;
  double prefill_ms = 0;
  double decode_ms = 0;
  int64_t decode_steps = 0;  // in decode_ms: the first token of a text comes from the prefill
};

// A loaded model with its backend. One thread runs it at a time.
class Engine {
 public:
  static std::unique_ptr<Engine> open(const OpenOptions& options);
  virtual ~Engine() = default;

  virtual const Model& model() const noexcept = 0;
  virtual const Tokenizer* tokenizer() const noexcept = 0;  // null when the model has none
  virtual const SpecialIds& special() const noexcept = 0;
  virtual const std::string& name() const noexcept = 0;
  virtual Backend& backend() noexcept = 0;
  virtual double load_ms() const noexcept = 0;

  // Ids that may be sampled: min(tokenizer size, embedding rows).
  virtual int32_t sampled_vocab() const noexcept = 0;

  // Encodes a prompt; an empty prompt becomes BOS or, failing that, EOS, so that there is always a
  // token to start from. Throws InputError when there is no tokenizer or no such id.
  virtual std::vector<int32_t> encode_prompt(std::string_view text) const = 0;

  virtual std::unique_ptr<class Session> session() = 0;
};

// One sequence: its state and where it stands. Cheap to make; ends with its engine.
class Session {
 public:
  virtual ~Session() = default;

  // Feeds tokens, in blocks of the engine's chunk. Afterwards logits() are those after the last
  // one. `every`, if given, sees the logits after each token: (index within ids, logits).
  // Ids outside the embedding throw InputError before anything is fed. Stops between blocks when
  // `stop` becomes true (logits() is then empty) and returns how many tokens were fed.
  virtual int64_t feed(std::span<const int32_t> ids,
                       const std::function<void(int64_t, std::span<const float>)>& every = {},
                       const std::atomic<bool>* stop = nullptr) = 0;

  // Logits after the last token, [embedding_rows]; empty before the first feed and after one that
  // was stopped.
  virtual std::span<const float> logits() const noexcept = 0;

  // Tokens fed so far.
  virtual int64_t position() const noexcept = 0;

  // Back to an empty sequence.
  virtual void reset() = 0;
};

enum class FinishReason { stop, length, eos, interrupted };
std::string_view to_string(FinishReason reason) noexcept;  // "stop", "length", "eos", …

struct GenerateOptions {
  int64_t max_tokens = 256;  // -1: until EOS
  SamplingOptions sampling;
  uint64_t seed = 0;
  std::vector<std::string> stop;  // text that ends the output; not part of it
  bool ignore_eos = false;
  const std::atomic<bool>* interrupt = nullptr;  // set by Ctrl-C; checked per token
};

struct GenerateResult {
  std::string text;
  std::vector<int32_t> ids;  // generated, EOS not included
  FinishReason finish_reason = FinishReason::length;
  int64_t prompt_tokens = 0;
  Timings timings;
};

// Feeds `prompt` to `session` and continues it. `on_text` receives valid UTF-8 as it becomes
// certain (text that may yet turn out to be a stop string is held back); returning false ends the
// generation as interrupted.
GenerateResult generate(Engine& engine, Session& session, std::span<const int32_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& on_text);

struct ScoredToken {
  int32_t id = 0;
  double logprob = 0;  // natural log; of this token given those before it. The first has none: 0.
};

struct ScoreResult {
  std::vector<ScoredToken> tokens;
  double nll = 0;         // sum over tokens 1..T-1, nats
  double perplexity = 0;  // exp(nll / (T-1)); 1 for a single token
};

// `on_logits`, if given, sees row t = logits after token t, in order.
ScoreResult score(Engine& engine, std::span<const int32_t> ids,
                  const std::function<void(std::span<const float>)>& on_logits = {},
                  const std::atomic<bool>* stop = nullptr);

struct BenchOptions {
  std::vector<int64_t> prompts = {512};  // prefill lengths; 0 skips
  std::vector<int64_t> tokens = {128};   // decode lengths; 0 skips
  int32_t repetitions = 5;
  const std::atomic<bool>* stop = nullptr;
};

struct BenchResult {
  int64_t n_prompt = 0;
  int64_t n_gen = 0;
  std::vector<double> tok_s;  // one per repetition, in order; at least one
  double tok_s_median = 0;
  double gb_s = 0;             // weight bytes read per second at the median (decode only)
  double roof_gb_s = 0;        // read bandwidth of memory, best measured so far in this run
  double roof_share = 0;       // gb_s / roof_gb_s
  int64_t peak_rss_bytes = 0;  // of the process so far, without what measuring the roof took
};

// Read bandwidth of memory with that many threads, in GB/s (10^9 bytes), best of several passes.
double measure_read_bandwidth(int32_t threads);

std::vector<BenchResult> bench(Engine& engine, const BenchOptions& options,
                               const std::function<void(const BenchResult&)>& on_result);

// Most memory the process ever had resident; 0 where the system does not tell.
int64_t peak_rss_bytes();

}  // namespace krait
