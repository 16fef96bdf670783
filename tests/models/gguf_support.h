// Models in GGUF files, with what a test wants to change in them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "krait/model.h"
#include "src/formats/open.h"
#include "tests/support/expect_error.h"

namespace krait::test {

// Another checkpoint with what a test has changed in it.
class EditedCheckpoint final : public Checkpoint {
 public:
  explicit EditedCheckpoint(const std::string& path)
      : base_(open_checkpoint(path)), config_(base_->config()), names_(base_->names()) {
    for (const std::string& name : names_) tensors_[name] = *base_->find(name);
  }

  nlohmann::json& metadata() { return config_; }
  void remove(const std::string& name) {
    tensors_.erase(name);
    std::erase(names_, name);
  }
  void set(const std::string& name, const Shape& shape, std::vector<float> values) {
    const auto& kept = values_[name] = std::move(values);
    tensors_[name] = {DType::f32, shape, std::as_bytes(std::span(kept))};
  }
  std::vector<float> values(const std::string& name) const {
    const Tensor& tensor = tensors_.at(name);
    std::vector<float> out(tensor.elements());
    copy_to_f32(tensor, 0, tensor.elements(), out.data(), name);
    return out;
  }

  const std::string& source() const noexcept override { return base_->source(); }
  std::string_view container() const noexcept override { return base_->container(); }
  const nlohmann::json& config() const noexcept override { return config_; }
  const std::vector<std::string>& names() const noexcept override { return names_; }
  const Tensor* find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    return found == tensors_.end() ? nullptr : &found->second;
  }
  const std::string& file_of(std::string_view) const noexcept override { return source(); }
  void release(const Tensor&) const noexcept override {}

 private:
  std::unique_ptr<Checkpoint> base_;
  nlohmann::json config_;
  std::vector<std::string> names_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::vector<float>> values_;
};

inline ModelConfig config_of(const Checkpoint& checkpoint,
                             std::vector<std::string>* warnings = nullptr) {
  return read_model_config(checkpoint, [&](const std::string& warning) {
    if (warnings) warnings->push_back(warning);
  });
}

inline std::string refusal(const Checkpoint& checkpoint) {
  return message_of<InputError>([&] { config_of(checkpoint); });
}

// Logits after every one of 24 tokens.
inline std::vector<float> logits_of(const Checkpoint& checkpoint,
                                    std::optional<DType> dtype = std::nullopt) {
  constexpr int32_t kTokens = 24;
  const auto backend = make_backend({"cpu", "auto", 2});
  const auto model = load_model(*backend, checkpoint, config_of(checkpoint), dtype);
  const auto workspace = model->workspace(kTokens, kTokens);
  const auto state = backend->buffer(model->state_layout().floats_per_slot());
  std::vector<int32_t> ids(kTokens), rows(kTokens);
  for (int32_t i = 0; i < kTokens; ++i) {
    ids[i] = i * 7 % 24;
    rows[i] = i;
  }
  const Segment segment{0, 0, kTokens};
  const Rows logits =
      model->forward({ids, {&segment, 1}, rows}, {state->data, state->size}, *workspace);
  return {logits.data, logits.data + kTokens * model->config().embedding_rows};
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline double relative_error(const std::vector<float>& found, const std::vector<float>& expected) {
  EXPECT_EQ(found.size(), expected.size());
  double largest = 0, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, static_cast<double>(std::fabs(expected[i])));
    error = std::max(error, static_cast<double>(std::fabs(found[i] - expected[i])));
  }
  return error / largest;
}

}  // namespace krait::test
