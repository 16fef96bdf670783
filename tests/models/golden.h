// The golden models (tests/golden/models), and a model on any backend to hold against them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "krait/model.h"
#include "src/formats/open.h"

namespace krait::test {

// In the folder that KRAIT_TEST_GOLDEN names in the environment, for a test program that was moved
// to another machine; else where this was built.
inline std::filesystem::path golden_folder() {
  const char* moved = std::getenv("KRAIT_TEST_GOLDEN");
  return std::filesystem::path(moved ? moved : KRAIT_TEST_GOLDEN) / "models";
}

inline std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder()))
    if (entry.is_directory()) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

struct Golden {
  std::vector<int32_t> ids;
  std::vector<float> logits;  // [ids.size(), rows]
};

inline Golden read_golden(const std::string& name) {
  const auto file = open_checkpoint((golden_folder() / name / "golden.safetensors").string());
  const Tensor* ids = file->find("ids");
  const Tensor* logits = file->find("logits");
  Golden golden;
  for (int64_t i = 0; i < ids->elements(); ++i) {
    int64_t id;
    std::memcpy(&id, ids->data.data() + i * 8, 8);
    golden.ids.push_back(static_cast<int32_t>(id));
  }
  golden.logits.resize(logits->elements());
  copy_to_f32(*logits, 0, logits->elements(), golden.logits.data(), "logits");
  return golden;
}

// A model on a backend of its own.
class ModelRunner {
 public:
  ModelRunner(std::unique_ptr<Backend> backend, const std::string& name,
              std::optional<DType> dtype = std::nullopt)
      : ModelRunner(std::move(backend), open_checkpoint((golden_folder() / name).string()), dtype) {
  }
  ModelRunner(std::unique_ptr<Backend> backend, std::unique_ptr<Checkpoint> checkpoint,
              std::optional<DType> dtype)
      : backend_(std::move(backend)),
        checkpoint_(std::move(checkpoint)),
        model_(load_model(*backend_, *checkpoint_,
                          read_model_config(*checkpoint_, [](const std::string&) {}), dtype)) {}

  Backend& backend() { return *backend_; }
  const Model& model() const { return *model_; }

  // Logits after every token, fed in blocks of `chunk` tokens from an empty state.
  std::vector<float> logits(const std::vector<int32_t>& ids, int64_t chunk) {
    std::vector<int32_t> all(ids.size());
    std::iota(all.begin(), all.end(), 0);
    return logits(ids, chunk, all);
  }

  // Logits after the tokens at `wanted`, ascending.
  std::vector<float> logits(const std::vector<int32_t>& ids, int64_t chunk,
                            const std::vector<int32_t>& wanted) {
    const auto length = static_cast<int32_t>(chunk);
    const auto workspace = model_->workspace(length, length);
    const auto state = backend_->buffer(model_->state_layout().floats_per_slot());
    std::vector<float> out;
    const int64_t count = static_cast<int64_t>(ids.size());
    for (int64_t first = 0; first < count; first += chunk) {
      const int64_t n = std::min(chunk, count - first);
      std::vector<int32_t> rows;
      for (const int32_t row : wanted)
        if (row >= first && row < first + n) rows.push_back(static_cast<int32_t>(row - first));
      const Segment segment{0, 0, static_cast<int32_t>(n)};
      const krait::Step step{std::span(ids).subspan(first, n), {&segment, 1}, rows};
      append(model_->forward(step, {state->data, state->size}, *workspace), out);
    }
    return out;
  }

  // Reads logits to the end of `out`.
  void append(Rows logits, std::vector<float>& out) {
    const size_t at = out.size();
    out.resize(at + static_cast<size_t>(logits.rows * logits.cols));
    backend_->read(logits.data, std::span(out).subspan(at));
  }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Model> model_;
};

// One token of each of several sequences at a time, in a workspace of its own.
class Decoder {
 public:
  Decoder(ModelRunner& runner, int32_t slots)
      : runner_(runner),
        floats_(runner.model().state_layout().floats_per_slot()),
        states_(runner.backend().buffer(slots * floats_)),
        workspace_(runner.model().workspace(slots, slots)) {}

  std::vector<float> step(const std::vector<int32_t>& ids, const std::vector<int32_t>& slots) {
    std::vector<Segment> segments;
    std::vector<int32_t> rows;
    for (int32_t i = 0; i < std::ssize(ids); ++i) {
      segments.push_back({slots[i], i, 1});
      rows.push_back(i);
    }
    std::vector<float> out;
    runner_.append(
        runner_.model().forward({ids, segments, rows}, {states_->data, floats_}, *workspace_), out);
    return out;
  }

 private:
  ModelRunner& runner_;
  int64_t floats_;
  std::unique_ptr<Buffer> states_;
  std::unique_ptr<Workspace> workspace_;
};

// Largest difference as a share of the largest |expected|.
inline double relative_error(const std::vector<float>& found, const std::vector<float>& expected) {
  EXPECT_EQ(found.size(), expected.size());
  double largest = 0, error = 0;
  for (size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    largest = std::max(largest, static_cast<double>(std::fabs(expected[i])));
    error = std::max(
        error, std::isnan(found[i]) ? 1e9 : static_cast<double>(std::fabs(found[i] - expected[i])));
  }
  return error / largest;
}

}  // namespace krait::test
