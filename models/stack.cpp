// The residual stack around the mixers: r = embedding(ids); r += mixer_i(norm_i(r)) for every
// layer; logits = head(norm_f(r)). (`MixerModel` in mamba_ssm/models/mixer_seq_simple.py.)
#include <algorithm>
#include <atomic>
#include <cmath>

#include "krait/error.h"
#include "krait/model.h"
#include "models/mamba1.h"
#include "models/mamba2.h"
#include "models/mixer.h"
#include "models/s4d.h"

namespace krait {
namespace {

struct Block {
  std::unique_ptr<Vector> norm;
  std::unique_ptr<Mixer> mixer;
};

struct StackWorkspace final : Workspace {
  StackWorkspace(Backend& backend, const ModelConfig& config, int64_t scratch_floats,
                 int64_t tokens, int64_t logit_rows)
      : max_tokens(tokens),
        max_logit_rows(logit_rows),
        number(next_number()),
        residual(backend.buffer(tokens * row_stride(config.d_model))),
        normed(backend.buffer(tokens * row_stride(config.d_model))),
        scratch(backend.buffer(tokens * scratch_floats)),
        logits(backend.buffer(logit_rows * config.embedding_rows)) {}

  // Ever new: a workspace may come to lie where another was.
  static uint64_t next_number() noexcept {
    static std::atomic<uint64_t> last{0};
    return ++last;
  }

  int64_t max_tokens, max_logit_rows;
  uint64_t number;
  std::unique_ptr<Buffer> residual, normed, scratch, logits;
};

class StackModel final : public Model {
 public:
  StackModel(Backend& backend, const Checkpoint& checkpoint, ModelConfig config,
             std::optional<DType> dtype);

  const ModelConfig& config() const noexcept override { return config_; }
  const StateLayout& state_layout() const noexcept override { return layout_; }
  int64_t weight_bytes_per_token() const noexcept override { return bytes_per_token_; }
  int64_t multiply_adds_per_token(bool logits) const noexcept override {
    return multiply_adds_ + (logits ? embedding_->rows * embedding_->cols : 0);
  }
  int64_t parameter_count() const noexcept override { return parameters_; }
  DType weight_dtype() const noexcept override { return weight_dtype_; }

  std::unique_ptr<Workspace> workspace(int32_t max_tokens, int32_t max_logit_rows) const override {
    return std::make_unique<StackWorkspace>(backend_, config_, scratch_floats_, max_tokens,
                                            max_logit_rows);
  }

  Rows forward(const Step& step, StateView states, Workspace& workspace) const override;
  std::optional<int64_t> first_broken_layer(int32_t id, StateView states,
                                            Workspace& workspace) const override;

 private:
  void run(const Block& block, std::span<const Segment> segments, StateView states, Rows residual,
           Rows normed, Scratch scratch) const;
  void run(const Step& step, StateView states, Rows residual, Rows normed, Rows logits,
           Scratch scratch) const;
  void head(std::span<const int32_t> logit_rows, Rows residual, Rows normed, Rows logits) const;

  Backend& backend_;
  ModelConfig config_;
  StateLayout layout_;
  std::unique_ptr<Matrix> embedding_, lm_head_;  // lm_head_ is null when tied
  std::vector<Block> blocks_;
  std::unique_ptr<Vector> norm_f_;
  int64_t scratch_floats_ = 0;
  int64_t bytes_per_token_ = 0;
  int64_t multiply_adds_ = 0;  // per token, of all layers
  int64_t parameters_ = 0;
  DType weight_dtype_ = DType::f32;
};

StackModel::StackModel(Backend& backend, const Checkpoint& checkpoint, ModelConfig config,
                       std::optional<DType> dtype)
    : backend_(backend), config_(std::move(config)) {
  Loader loader(backend, checkpoint, dtype, layout_);
  const int64_t d_model = config_.d_model;
  // Largest first: file pages and packed weights of one tensor are in memory together.
  embedding_ = loader.matrix("embedding.weight", {config_.embedding_rows, d_model});
  if (!config_.tied_head)
    lm_head_ = loader.matrix("lm_head.weight", {config_.embedding_rows, d_model});
  for (size_t i = 0; i < config_.layers.size(); ++i) {
    const int64_t layer = static_cast<int64_t>(i);
    Block block;
    block.norm = loader.vector(layer_name(layer, "norm.weight"), {d_model});
    block.mixer = std::visit([&](const auto& c) { return load_mixer(loader, c, layer, d_model); },
                             config_.layers[i]);
    scratch_floats_ = std::max(scratch_floats_, block.mixer->scratch_floats());
    blocks_.push_back(std::move(block));
  }
  norm_f_ = loader.vector("norm_f.weight", {d_model});
  parameters_ = loader.parameters;
  bytes_per_token_ = loader.matrix_bytes - (lm_head_ ? embedding_->bytes : 0);
  multiply_adds_ =
      loader.matrix_elements - (lm_head_ ? 2 : 1) * embedding_->rows * embedding_->cols;
  const auto& bytes_of = loader.bytes_of;
  weight_dtype_ =
      static_cast<DType>(std::max_element(bytes_of.begin(), bytes_of.end()) - bytes_of.begin());
}

Rows StackModel::forward(const Step& step, StateView states, Workspace& workspace) const {
  auto& w = static_cast<StackWorkspace&>(workspace);
  const int64_t tokens = static_cast<int64_t>(step.ids.size());
  KRAIT_CHECK(tokens > 0 && tokens <= w.max_tokens);
  const int64_t stride = row_stride(config_.d_model);
  const Rows residual{w.residual->data, tokens, config_.d_model, stride};
  const Rows normed{w.normed->data, tokens, config_.d_model, stride};
  const int64_t count = static_cast<int64_t>(step.logit_rows.size());
  KRAIT_CHECK(count <= w.max_logit_rows);
  const Rows logits{w.logits->data, count, config_.embedding_rows, config_.embedding_rows};

  const StepKey key{w.number, step.ids, step.segments, step.logit_rows, states, step.chain};
  do {
    if (backend_.begin_step(key)) break;
    run(step, states, residual, normed, logits, Scratch(w.scratch->data, tokens));
  } while (!backend_.end_step());
  return logits;
}

void StackModel::run(const Step& step, StateView states, Rows residual, Rows normed, Rows logits,
                     Scratch scratch) const {
  backend_.embed(*embedding_, step.ids, residual);
  for (const Block& block : blocks_) run(block, step.segments, states, residual, normed, scratch);
  head(step.logit_rows, residual, normed, logits);
  if (step.chain) backend_.draw(logits, *step.chain);
}

void StackModel::run(const Block& block, std::span<const Segment> segments, StateView states,
                     Rows residual, Rows normed, Scratch scratch) const {
  const BlockNorm norm{block.norm.get(), config_.norm_eps};
  if (block.mixer->step(backend_, norm, segments, states, residual, scratch)) return;
  backend_.rms_norm(residual, norm.weight, 1, norm.eps, normed);
  block.mixer->forward(backend_, segments, states, normed, residual, scratch);
}

std::optional<int64_t> StackModel::first_broken_layer(int32_t id, StateView states,
                                                      Workspace& workspace) const {
  auto& w = static_cast<StackWorkspace&>(workspace);
  const Segment segment{0, 0, 1};
  const int64_t stride = row_stride(config_.d_model);
  const Rows residual{w.residual->data, 1, config_.d_model, stride};
  const Rows normed{w.normed->data, 1, config_.d_model, stride};
  std::vector<float> output(static_cast<size_t>(config_.d_model));
  const auto is_broken = [&] {
    backend_.read(residual.data, output);
    float squares = 0;
    for (const float value : output) squares += value * value;
    return !std::isfinite(squares);
  };
  backend_.embed(*embedding_, {&id, 1}, residual);
  if (is_broken()) return -1;
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    run(blocks_[layer], {&segment, 1}, states, residual, normed, Scratch(w.scratch->data, 1));
    if (is_broken()) return static_cast<int64_t>(layer);
  }
  return std::nullopt;
}

// Only the rows asked for pass the head, gathered into consecutive rows of `normed`.
void StackModel::head(std::span<const int32_t> logit_rows, Rows residual, Rows normed,
                      Rows logits) const {
  const int64_t count = logits.rows;
  if (count == 0) return;
  for (int64_t i = 0; i < count;) {
    int64_t run = 1;
    while (i + run < count && logit_rows[i + run] == logit_rows[i] + run) ++run;
    backend_.rms_norm(residual.slice(logit_rows[i], run), norm_f_.get(), 1, config_.norm_eps,
                      normed.slice(i, run));
    i += run;
  }
  const Matrix& head_weights = lm_head_ ? *lm_head_ : *embedding_;
  backend_.linear(head_weights, nullptr, normed.slice(0, count), logits, false);
}

}  // namespace

StateLayout state_layout(const ModelConfig& config) {
  StateLayout layout;
  for (size_t i = 0; i < config.layers.size(); ++i)
    std::visit([&](const auto& c) { add_planes(layout, c, static_cast<int64_t>(i)); },
               config.layers[i]);
  return layout;
}

std::unique_ptr<Model> load_model(Backend& backend, const Checkpoint& checkpoint,
                                  const ModelConfig& config, std::optional<DType> dtype) {
  return std::make_unique<StackModel>(backend, checkpoint, config, dtype);
}

}  // namespace krait
