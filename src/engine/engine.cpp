#include "krait/engine.h"

#include <algorithm>
#include <exception>
#include <mutex>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/base/clock.h"
#include "src/base/fair_mutex.h"
#include "src/engine/fingerprint.h"
#include "src/engine/finite_logits.h"
#include "src/engine/memory_plan.h"
#include "src/engine/run_ahead.h"

namespace krait {
namespace {

constexpr int32_t kMaxChunk = 8192;

class EngineImpl;

class SessionImpl final : public Session {
 public:
  SessionImpl(EngineImpl& engine, History history);
  ~SessionImpl() override;

  int64_t feed(std::span<const int32_t> ids,
               const std::function<void(int64_t, std::span<const float>)>& every,
               const std::atomic<bool>* stop) override;
  void advance(const SamplingOptions& sampling, uint64_t seed, uint64_t sequence, int64_t most,
               const std::function<Verdict(int32_t)>& on_id) override;
  bool runs_ahead(const SamplingOptions& sampling) const override;
  std::span<const float> logits() const override;
  int64_t position() const noexcept override { return position_; }
  std::span<const int32_t> ids() const noexcept override { return ids_; }
  Snapshot snapshot() const override;
  void restore(const Snapshot& snapshot) override;
  std::unique_ptr<Session> fork() const override;
  void reset() override;

  // The workspace that may hold logits of this session is about to be used by another.
  void leave_workspace();

 private:
  using Every = std::function<void(int64_t, std::span<const float>)>;

  void feed_counted(std::span<const int32_t> ids);
  Rows forward(std::span<const int32_t> ids, bool all_logits, bool last_logits);
  void count(std::span<const int32_t> ids);
  void settle();
  void bring_logits();
  void require_finite(int64_t position) const;
  void forget_logits();

  EngineImpl& engine_;
  std::unique_lock<FairMutex> turn_;  // held while this is made and, the last to go, while it ends
  History history_;
  std::unique_ptr<Buffer> state_;
  std::vector<int32_t> ids_;   // all that were fed, unless the history is discarded
  std::vector<float> logits_;  // after the last token
  std::vector<int32_t> rows_;  // scratch: which rows of a block want logits
  int64_t position_ = 0;
  int32_t last_id_ = 0;  // at position_ - 1
  bool has_logits_ = false;
  const float* device_logits_ = nullptr;  // in the engine's workspace, where not yet in logits_
  std::unique_ptr<RunAhead> ahead_;
  bool ran_ahead_ = false;  // and the state is where that has left it
};

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(const OpenOptions& options) {
    const Stopwatch watch;
    run_ahead_ = {options.steps_ahead, options.backup_every};
    if (options.chunk < 0 || options.chunk > kMaxChunk)
      throw InputError("--chunk " + std::to_string(options.chunk) + ": expected 1 to " +
                       std::to_string(kMaxChunk));
    BackendOptions backend = options.backend;
    backend.warn = options.warn;
    backend_ = options.make_backend(backend);  // a wrong flag is cheaper to find than a file
    chunk_ = options.chunk == 0 ? backend_->info().prefill_tokens : options.chunk;
    files_ = open_model_files(options);
    require_memory(*backend_, files_, options, chunk_);
    model_ = load_model(*backend_, *files_.checkpoint, files_.config, options.dtype);
    fingerprint_ = fingerprint_of(*files_.checkpoint, files_.config);
    try {
      chat_source_ = krait::chat_source(files_);
    } catch (const InputError&) {  // only those who chat need to know
      chat_error_ = std::current_exception();
    }
    files_.checkpoint->check_unchanged();
    files_.checkpoint.reset();  // everything needed is packed: the files may go
    load_ms_ = watch.ms();
  }

  const Model& model() const noexcept override { return *model_; }
  const Tokenizer* tokenizer() const noexcept override { return files_.tokenizer.get(); }
  const SpecialIds& special() const noexcept override { return files_.special; }
  const std::string& name() const noexcept override { return files_.name; }
  Backend& backend() noexcept override { return *backend_; }
  FairMutex& mutex() noexcept override { return mutex_; }
  double load_ms() const noexcept override { return load_ms_; }
  uint64_t fingerprint() const noexcept override { return fingerprint_; }
  int32_t chunk() const noexcept { return chunk_; }

  const ChatSource& chat_source() const override {
    if (chat_error_) std::rethrow_exception(chat_error_);
    return chat_source_;
  }

  int32_t sampled_vocab() const noexcept override {
    const int64_t rows = files_.config.vocab_size;
    return static_cast<int32_t>(
        files_.tokenizer ? std::min<int64_t>(rows, files_.tokenizer->vocab_size()) : rows);
  }

  std::vector<int32_t> encode_prompt(std::string_view text) const override {
    std::vector<int32_t> ids = encode(text, {});
    if (!ids.empty()) return ids;
    if (files_.special.bos >= 0) return {files_.special.bos};
    if (!files_.special.eos.empty()) return {files_.special.eos.front()};
    throw InputError("the prompt is empty, and " + files_.name +
                     " names no token to start a text with; give a prompt");
  }

  std::vector<int32_t> encode_continuation(std::string_view text) const override {
    return encode(text, {.add_special_tokens = false, .continues = true});
  }

  std::unique_ptr<Session> session(History history) override {
    return std::make_unique<SessionImpl>(*this, history);
  }

  // Null where the device draws no tokens.
  Drawing* drawing() {
    if (!asked_for_drawing_) drawing_ = backend_->drawing(1, sampled_vocab());
    asked_for_drawing_ = true;
    return drawing_.get();
  }
  const RunAhead::Options& run_ahead() const noexcept { return run_ahead_; }

  // Logits of a session stay in the workspace until they are asked for or it is used again.
  void lend_workspace(SessionImpl* to) {
    if (borrower_ && borrower_ != to) borrower_->leave_workspace();
    borrower_ = to;
  }
  void end_loan(const SessionImpl* of) noexcept {
    if (borrower_ == of) borrower_ = nullptr;
  }

  // Workspaces are made at first use: one with logits for the last row only, one for all rows.
  Workspace& workspace(bool all_logits) {
    auto& slot = all_logits ? all_logits_ : last_logits_;
    if (!slot) slot = model_->workspace(chunk_, all_logits ? chunk_ : 1);
    return *slot;
  }

 private:
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const {
    if (!files_.tokenizer)
      throw InputError(files_.name +
                       ": the model has no tokenizer; give one with --tokenizer (a "
                       "tokenizer.json, a tokenizer.model, a GGUF file, a folder with one of them, "
                       "or 'bytes'), or token ids");
    return files_.tokenizer->encode(text, options);
  }

  FairMutex mutex_;
  std::unique_ptr<Backend> backend_;  // before the rest: everything below lives in its memory
  ModelFiles files_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Workspace> last_logits_, all_logits_;
  SessionImpl* borrower_ = nullptr;  // whose logits last_logits_ may hold
  std::unique_ptr<Drawing> drawing_;
  bool asked_for_drawing_ = false;
  RunAhead::Options run_ahead_;
  uint64_t fingerprint_ = 0;
  ChatSource chat_source_;
  std::exception_ptr chat_error_;  // why there is none
  int32_t chunk_ = 0;
  double load_ms_ = 0;
};

SessionImpl::SessionImpl(EngineImpl& engine, History history)
    : engine_(engine),
      turn_(engine.mutex()),
      history_(history),
      state_(engine.backend().buffer(engine.model().state_layout().floats_per_slot())),
      logits_(engine.model().config().embedding_rows) {
  rows_.reserve(engine.chunk());
  turn_.unlock();
}

SessionImpl::~SessionImpl() {
  turn_.lock();
  engine_.end_loan(this);
}

// What is asked for is brought up to date first: to those who ask, nothing changes.
std::span<const float> SessionImpl::logits() const {
  const std::scoped_lock turn(engine_.mutex());
  auto& self = const_cast<SessionImpl&>(*this);
  self.settle();
  self.bring_logits();
  if (!has_logits_) return {};
  require_finite(position_);
  return logits_;
}

void SessionImpl::require_finite(int64_t position) const {
  require_finite_logits(engine_, logits_, {position, last_id_, {state_->data, state_->size}});
}

Snapshot SessionImpl::snapshot() const {
  const std::scoped_lock turn(engine_.mutex());
  SequenceState state;
  if (!logits().empty()) state.logits = logits_;
  state.position = position_;
  state.ids = ids_;
  state.planes.resize(state_->size);
  engine_.backend().read(state_->data, state.planes);
  return std::make_shared<const SequenceState>(std::move(state));
}

void SessionImpl::restore(const Snapshot& snapshot) {
  KRAIT_CHECK(static_cast<int64_t>(snapshot->planes.size()) == state_->size);
  KRAIT_CHECK(snapshot->logits.empty() || snapshot->logits.size() == logits_.size());
  const std::scoped_lock turn(engine_.mutex());
  forget_logits();
  engine_.backend().write(snapshot->planes, state_->data);
  position_ = snapshot->position;
  if (history_ == History::keep) ids_ = snapshot->ids;
  if (!snapshot->ids.empty()) last_id_ = snapshot->ids.back();
  has_logits_ = !snapshot->logits.empty();
  if (has_logits_) std::copy(snapshot->logits.begin(), snapshot->logits.end(), logits_.begin());
}

std::unique_ptr<Session> SessionImpl::fork() const {
  const std::scoped_lock turn(engine_.mutex());
  auto session = std::make_unique<SessionImpl>(engine_, history_);
  session->has_logits_ = !logits().empty();
  session->logits_ = logits_;
  engine_.backend().copy(state_->data, session->state_->data, state_->size);
  session->ids_ = ids_;
  session->last_id_ = last_id_;
  session->position_ = position_;
  return session;
}

void SessionImpl::reset() {
  const std::scoped_lock turn(engine_.mutex());
  forget_logits();
  engine_.backend().zero(state_->data, state_->size);
  ids_.clear();
  position_ = 0;
}

void SessionImpl::forget_logits() {
  has_logits_ = false;
  device_logits_ = nullptr;
  ran_ahead_ = false;
}

void SessionImpl::bring_logits() {
  if (!device_logits_) return;
  engine_.backend().read(device_logits_, logits_);
  device_logits_ = nullptr;
}

void SessionImpl::leave_workspace() {
  if (ran_ahead_ && ahead_->is_exact()) settle();
  bring_logits();
}

// After running ahead: the state and the logits of position().
void SessionImpl::settle() {
  if (!ran_ahead_) return;
  ran_ahead_ = false;
  if (ahead_->is_exact()) {
    device_logits_ = ahead_->logits().data;
  } else {
    feed_counted(ahead_->go_back());
  }
}

void SessionImpl::count(std::span<const int32_t> ids) {
  position_ += std::ssize(ids);
  last_id_ = ids.back();
  if (history_ == History::keep) ids_.insert(ids_.end(), ids.begin(), ids.end());
}

bool SessionImpl::runs_ahead(const SamplingOptions& sampling) const {
  const std::scoped_lock turn(engine_.mutex());
  return device_draw(sampling, engine_.sampled_vocab(), 0, 0, 0) && engine_.drawing();
}

void SessionImpl::advance(const SamplingOptions& sampling, uint64_t seed, uint64_t sequence,
                          int64_t most, const std::function<Verdict(int32_t)>& on_id) {
  KRAIT_CHECK(!looks_back(sampling));
  const int32_t vocab = engine_.sampled_vocab();
  Sampler sampler(sampling, vocab, seed, sequence);
  const auto counted = [&](int32_t id) {
    const Verdict verdict = on_id(id);
    if (verdict != Verdict::stop) count({&id, 1});
    return verdict;
  };
  for (Verdict verdict = Verdict::feed; verdict == Verdict::feed && most > 0; --most) {
    const int32_t id = sampler.sample(logits(), static_cast<uint64_t>(position_));
    verdict = counted(id);
    if (verdict == Verdict::stop) return;
    const std::optional<Draw> draw = device_draw(sampling, vocab, seed, sequence, position_);
    const std::scoped_lock turn(engine_.mutex());
    Drawing* drawing = draw && verdict == Verdict::feed ? engine_.drawing() : nullptr;
    if (!drawing) {
      feed_counted({&id, 1});
      continue;
    }
    if (!ahead_)
      ahead_ = std::make_unique<RunAhead>(engine_.backend(), engine_.model(), *state_,
                                          engine_.run_ahead());
    engine_.lend_workspace(this);
    forget_logits();
    ran_ahead_ = has_logits_ = true;
    // Logits that the device could not draw from: the sampler says what is wrong with them.
    if (!ahead_->run(*draw, id, most, engine_.workspace(false), *drawing, counted))
      sampler.sample(logits(), static_cast<uint64_t>(position_));
    return;
  }
}

int64_t SessionImpl::feed(std::span<const int32_t> ids,
                          const std::function<void(int64_t, std::span<const float>)>& every,
                          const std::atomic<bool>* stop) {
  const int64_t rows = engine_.model().config().embedding_rows;
  const int64_t count = static_cast<int64_t>(ids.size());
  for (int64_t i = 0; i < count; ++i)
    if (ids[i] < 0 || ids[i] >= rows)
      throw InputError("token id " + std::to_string(ids[i]) + " at position " + std::to_string(i) +
                       ": expected 0 to " + std::to_string(rows - 1));
  for (int64_t fed = 0; fed < count;) {
    if (stop && stop->load(std::memory_order_relaxed)) return fed;
    const std::scoped_lock turn(engine_.mutex());  // one for each block
    settle();
    const int64_t block = std::min<int64_t>(engine_.chunk(), count - fed);
    const Rows logits =
        forward(ids.subspan(fed, block), static_cast<bool>(every), fed + block == count);
    this->count(ids.subspan(fed, block));
    for (int64_t row = 0; every && row < logits.rows; ++row) {
      engine_.backend().read(logits.data + row * logits.stride, logits_);
      require_finite(position_ - block + row + 1);
      every(fed + row, logits_);
    }
    fed += block;
  }
  return count;
}

// What the position counts already.
void SessionImpl::feed_counted(std::span<const int32_t> ids) {
  const int64_t count = std::ssize(ids);
  for (int64_t fed = 0; fed < count; fed += engine_.chunk()) {
    const int64_t block = std::min<int64_t>(engine_.chunk(), count - fed);
    forward(ids.subspan(fed, block), false, fed + block == count);
  }
}

// Feeds one block. Only the last block of a feed passes the head, unless all logits are wanted,
// which are then left to the caller.
Rows SessionImpl::forward(std::span<const int32_t> ids, bool all_logits, bool last_logits) {
  const int32_t length = static_cast<int32_t>(ids.size());
  rows_.clear();
  if (all_logits) {
    for (int32_t row = 0; row < length; ++row) rows_.push_back(row);
  } else if (last_logits) {
    rows_.push_back(length - 1);
  }
  if (!all_logits) engine_.lend_workspace(this);
  forget_logits();
  const Segment segment{0, 0, length};
  const Step step{ids, {&segment, 1}, rows_};
  const Rows logits =
      engine_.model().forward(step, {state_->data, state_->size}, engine_.workspace(all_logits));
  has_logits_ = !rows_.empty();
  device_logits_ = has_logits_ && !all_logits ? logits.data : nullptr;
  return logits;
}

}  // namespace

std::unique_ptr<Engine> Engine::open(const OpenOptions& options) {
  return std::make_unique<EngineImpl>(options);
}

}  // namespace krait
