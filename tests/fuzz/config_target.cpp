// config.json beside the tensors of a small Mamba-1 and a small Mamba-2 model.
#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "krait/model.h"
#include "src/base/json.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

constexpr int64_t kModel = 8, kInner = 16, kState = 4, kConv = 4, kRank = 2, kHeads = 4, kRows = 24;

class Shapes final : public Checkpoint {
 public:
  Shapes(const nlohmann::json& config, bool mamba2) : config_(config) {
    static const std::vector<std::byte> kZeros(1 << 14);
    const auto add = [&](const std::string& name, Shape shape) {
      const auto bytes = static_cast<size_t>(element_count(shape)) * sizeof(float);
      KRAIT_CHECK(bytes <= kZeros.size());
      tensors_["backbone." + name] = {DType::f32, std::move(shape), std::span(kZeros).first(bytes)};
    };
    const int64_t channels = mamba2 ? kInner + 2 * kState : kInner;
    const std::string layer = "layers.0.", mixer = "layers.0.mixer.";
    add("embedding.weight", {kRows, kModel});
    add("norm_f.weight", {kModel});
    add(layer + "norm.weight", {kModel});
    add(mixer + "in_proj.weight", {mamba2 ? kInner + channels + kHeads : 2 * kInner, kModel});
    add(mixer + "conv1d.weight", {channels, 1, kConv});
    add(mixer + "conv1d.bias", {channels});
    add(mixer + "out_proj.weight", {kModel, kInner});
    if (mamba2) {
      add(mixer + "norm.weight", {kInner});
      for (const char* name : {"A_log", "D", "dt_bias"}) add(mixer + name, {kHeads});
    } else {
      add(mixer + "A_log", {kInner, kState});
      add(mixer + "D", {kInner});
      add(mixer + "x_proj.weight", {kRank + 2 * kState, kInner});
      add(mixer + "dt_proj.weight", {kInner, kRank});
      add(mixer + "dt_proj.bias", {kInner});
    }
    for (const auto& [name, tensor] : tensors_) names_.push_back(name);
  }

  const std::string& source() const noexcept override { return source_; }
  std::string_view container() const noexcept override { return "safetensors"; }
  const nlohmann::json& config() const noexcept override { return config_; }
  const std::vector<std::string>& names() const noexcept override { return names_; }
  const Tensor* find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }
  const std::string& file_of(std::string_view) const noexcept override { return source_; }
  void release(const Tensor&) const noexcept override {}

 private:
  const nlohmann::json& config_;
  std::string source_ = "input";
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<std::string> names_;
};

void run(std::string_view input) {
  const nlohmann::json config = parse_json(input, "config.json");
  for (const bool mamba2 : {false, true}) {
    try {
      const ModelConfig read = read_model_config(Shapes(config, mamba2), [](const std::string&) {});
      KRAIT_CHECK(read.layers.size() == 1 && read.d_model == kModel);
      KRAIT_CHECK(read.vocab_size >= 1 && read.vocab_size <= read.embedding_rows);
      KRAIT_CHECK(state_layout(read).floats_per_slot() > 0);
    } catch (const InputError&) {
    }
  }
}

const Registration kTarget({"config", run});

}  // namespace
}  // namespace krait::fuzz
