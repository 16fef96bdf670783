// Small random models to talk to, and an engine that counts what is fed.
#pragma once

#include <atomic>
#include <cctype>
#include <functional>
#include <memory>
#include <string>

#include "krait/conversation.h"
#include "krait/engine.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait::test {

// Passes everything on, and counts the tokens that its sessions are fed.
class CountingEngine final : public Engine {
 public:
  explicit CountingEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

  int64_t fed() const { return fed_; }

  const Model& model() const noexcept override { return engine_->model(); }
  const Tokenizer* tokenizer() const noexcept override { return engine_->tokenizer(); }
  const SpecialIds& special() const noexcept override { return engine_->special(); }
  const std::string& name() const noexcept override { return engine_->name(); }
  Backend& backend() noexcept override { return engine_->backend(); }
  FairMutex& mutex() noexcept override { return engine_->mutex(); }
  double load_ms() const noexcept override { return engine_->load_ms(); }
  uint64_t fingerprint() const noexcept override { return engine_->fingerprint(); }
  const ChatSource& chat_source() const override { return engine_->chat_source(); }
  int32_t sampled_vocab() const noexcept override { return engine_->sampled_vocab(); }
  std::vector<int32_t> encode_prompt(std::string_view text) const override {
    return engine_->encode_prompt(text);
  }
  std::vector<int32_t> encode_continuation(std::string_view text) const override {
    return engine_->encode_continuation(text);
  }
  std::unique_ptr<krait::Session> session(History history) override {
    return std::make_unique<Session>(*this, engine_->session(history));
  }

 private:
  class Session final : public krait::Session {
   public:
    Session(CountingEngine& owner, std::unique_ptr<krait::Session> session)
        : owner_(owner), session_(std::move(session)) {}
    int64_t feed(std::span<const int32_t> ids,
                 const std::function<void(int64_t, std::span<const float>)>& every,
                 const std::atomic<bool>* stop) override {
      const int64_t fed = session_->feed(ids, every, stop);
      owner_.fed_ += fed;
      return fed;
    }
    void advance(const SamplingOptions& sampling, uint64_t seed, uint64_t sequence, int64_t most,
                 const std::function<Verdict(int32_t)>& on_id) override {
      session_->advance(sampling, seed, sequence, most, on_id);
    }
    bool runs_ahead(const SamplingOptions& sampling) const override {
      return session_->runs_ahead(sampling);
    }
    std::span<const float> logits() const override { return session_->logits(); }
    int64_t position() const noexcept override { return session_->position(); }
    std::span<const int32_t> ids() const noexcept override { return session_->ids(); }
    Snapshot snapshot() const override { return session_->snapshot(); }
    void restore(const Snapshot& snapshot) override { session_->restore(snapshot); }
    std::unique_ptr<krait::Session> fork() const override {
      return std::make_unique<Session>(owner_, session_->fork());
    }
    void reset() override { session_->reset(); }

   private:
    CountingEngine& owner_;
    std::unique_ptr<krait::Session> session_;
  };

  std::unique_ptr<Engine> engine_;
  int64_t fed_ = 0;
};

inline RandomCheckpoint small_model(RandomArchitecture architecture) {
  RandomCheckpoint checkpoint;
  checkpoint.architecture = architecture;
  checkpoint.d_model = 32;
  checkpoint.d_state = 8;
  checkpoint.head_dim = 16;
  return checkpoint;
}

inline std::unique_ptr<CountingEngine> open_model(const std::string& folder) {
  OpenOptions options;
  options.model = folder;
  options.backend = {"cpu", "auto", 1};
  return std::make_unique<CountingEngine>(Engine::open(options));
}

// The state at the end of the current branch, with its ids.
inline Snapshot state_of(Conversation& chat) { return chat.save(0).snapshot; }

// Answers of a few printable characters, so that a text and its ids say the same.
inline GenerateOptions printable_answers(const Engine& engine, int64_t max_tokens) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.seed = 11;
  // Of all characters, not only of those that a random model repeats.
  options.sampling.temperature = 6;
  options.sampling.top_k = 0;
  options.sampling.top_p = 1;
  options.sampling.min_p = 0;
  const Tokenizer& tokenizer = *engine.tokenizer();
  for (int32_t id = 0; id < engine.sampled_vocab(); ++id) {
    const std::string bytes = tokenizer.token_bytes(id);
    bool printable = !bytes.empty();
    for (const char c : bytes) printable &= std::isprint(static_cast<unsigned char>(c)) != 0;
    if (!printable) options.sampling.logit_bias.emplace_back(id, -1e9f);
  }
  return options;
}

}  // namespace krait::test
