// S4D in its two forms: the recurrence, token by token, and the long convolution. (The recurrence
// alone is one of the golden models.)
#include "models/s4d.h"

#include <cmath>
#include <numbers>

#include <gmock/gmock.h>

#include "krait/error.h"
#include "tests/kernels/support.h"
#include "tests/models/golden.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::golden_folder, test::read_golden, test::relative_error;
using testing::HasSubstr;

// The golden model, loaded in the form asked for.
class FormRunner {
 public:
  explicit FormRunner(bool convolves) : backend_(make_backend({"cpu", "auto", 2})) {
    const auto checkpoint = open_checkpoint((golden_folder() / "s4d").string());
    ModelConfig config = read_model_config(*checkpoint, [](const std::string&) {});
    for (LayerConfig& layer : config.layers) std::get<S4dConfig>(layer).convolves = convolves;
    model_ = load_model(*backend_, *checkpoint, config, std::nullopt);
    states_ = backend_->buffer(model_->state_layout().floats_per_slot());
  }

  // Logits after every token; the state stays.
  std::vector<float> feed(std::span<const int32_t> ids) {
    const auto count = static_cast<int32_t>(ids.size());
    const auto workspace = model_->workspace(count, count);
    std::vector<int32_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), 0);
    const Segment segment{0, 0, count};
    const Rows logits =
        model_->forward({ids, {&segment, 1}, rows}, {states_->data, states_->size}, *workspace);
    std::vector<float> out(static_cast<size_t>(logits.rows * logits.cols));
    backend_->read(logits.data, out);
    return out;
  }
  std::vector<float> state() const { return {states_->data, states_->data + states_->size}; }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Buffer> states_;
};

std::vector<int32_t> random_ids(int64_t count) {
  test::Random random(5);
  std::vector<int32_t> ids;
  for (const float value : random.values(count, 0.0f, 46.9f))
    ids.push_back(static_cast<int32_t>(value));
  return ids;
}

TEST(S4dForms, BothGiveTheGoldenLogits) {
  const test::Golden golden = read_golden("s4d");
  EXPECT_LE(relative_error(FormRunner(false).feed(golden.ids), golden.logits), 1e-4);
  EXPECT_LE(relative_error(FormRunner(true).feed(golden.ids), golden.logits), 1e-4);
}

TEST(S4dForms, AgreeOverFourThousandSteps) {
  const std::vector<int32_t> ids = random_ids(4096);
  FormRunner recurrence(false), convolution(true);
  EXPECT_LE(relative_error(convolution.feed(ids), recurrence.feed(ids)), 1e-4);
  EXPECT_LE(relative_error(convolution.state(), recurrence.state()), 1e-4);
}

TEST(S4dForms, AConvolutionGoesOnFromTheStateItFinds) {
  const std::vector<int32_t> ids = random_ids(700);
  FormRunner recurrence(false), pieces(true);
  const std::vector<float> whole = recurrence.feed(ids);
  std::vector<float> found;
  for (const auto& [first, count] : {std::pair{0, 1}, {1, 300}, {301, 399}}) {
    const std::vector<float> part = pieces.feed(std::span(ids).subspan(first, count));
    found.insert(found.end(), part.begin(), part.end());
  }
  EXPECT_LE(relative_error(found, whole), 1e-4);
  EXPECT_LE(relative_error(pieces.state(), recurrence.state()), 1e-4);
}

// One channel, one mode: A = -1/2 + i pi, step size 1/10, C = 1.
TEST(S4dForms, ModesAreThoseOfTheZeroOrderHold) {
  const S4dModes modes = s4d_modes(
      {{std::log(0.1f)}, {std::log(0.5f)}, {std::numbers::pi_v<float>}, {1.0f, 0.0f}, {0.25f}}, 1,
      1);
  // exp(dt A) = e^-0.05 (cos 0.1 pi + i sin 0.1 pi)
  EXPECT_NEAR(modes.decay[0], 0.9512294 * 0.9510565, 1e-6);
  EXPECT_NEAR(modes.decay[1], 0.9512294 * 0.3090170, 1e-6);
  // An input that stays 1 brings the state to -1 / A: y = 2 Re(-1 / A) + D.
  float state[2] = {0, 0};
  std::vector<float> x(1000, 1.0f);
  s4d_convolve(modes, state, x.data(), 1, 1000);
  EXPECT_NEAR(x.back(), 2 * 0.5 / (0.25 + std::numbers::pi * std::numbers::pi) + 0.25, 1e-5);
}

TEST(S4dForms, AnAOfZeroHoldsForOneStep) {
  const float minus_infinity = -std::numeric_limits<float>::infinity();
  const S4dModes modes = s4d_modes({{0.0f}, {minus_infinity}, {0.0f}, {1.0f, 0.0f}, {0.0f}}, 1, 1);
  EXPECT_EQ(modes.decay, (std::vector<float>{1.0f, 0.0f}));
  EXPECT_EQ(modes.c[0], 2.0f);
}

TEST(S4dConfigTest, SizesAreThoseOfTheTensors) {
  std::vector<std::string> warnings;
  const auto checkpoint = open_checkpoint((golden_folder() / "s4d").string());
  const ModelConfig config =
      read_model_config(*checkpoint, [&](const std::string& text) { warnings.push_back(text); });
  EXPECT_EQ(config.architecture, "s4d");
  const auto& layer = std::get<S4dConfig>(config.layers.at(1));
  EXPECT_EQ(std::tuple(layer.d_inner, layer.d_state, layer.d_conv), std::tuple(72, 10, 3));
  EXPECT_FALSE(layer.convolves);
  EXPECT_THAT(warnings, testing::IsEmpty());
}

// A checkpoint whose tensors of one name have another shape, or are gone.
class Reshaped final : public Checkpoint {
 public:
  Reshaped(std::string name, std::optional<Shape> shape)
      : inner_(open_checkpoint((golden_folder() / "s4d").string())), name_(std::move(name)) {
    if (const Tensor* tensor = inner_->find(name_); shape) {
      changed_ = *tensor;
      changed_->shape = *shape;
    }
  }
  const std::string& source() const noexcept override { return inner_->source(); }
  std::string_view container() const noexcept override { return inner_->container(); }
  const nlohmann::json& config() const noexcept override { return inner_->config(); }
  const std::vector<std::string>& names() const noexcept override { return inner_->names(); }
  const Tensor* find(std::string_view name) const override {
    if (name != name_) return inner_->find(name);
    return changed_ ? &*changed_ : nullptr;
  }
  const std::string& file_of(std::string_view name) const noexcept override {
    return inner_->file_of(name);
  }
  void release(const Tensor&) const noexcept override {}

 private:
  std::unique_ptr<Checkpoint> inner_;
  std::string name_;
  std::optional<Tensor> changed_;
};

TEST(S4dConfigTest, TensorsThatDoNotFitTogetherAreRefused) {
  const auto refusal = [](const std::string& part, std::optional<Shape> shape) {
    const Reshaped checkpoint("backbone.layers.1.mixer." + part, std::move(shape));
    return test::message_of<InputError>(
        [&] { read_model_config(checkpoint, [](const std::string&) {}); });
  };
  for (const char* part :
       {"log_dt", "A_imag", "C", "D", "in_proj.weight", "out_proj.weight", "conv1d.weight"}) {
    EXPECT_THAT(refusal(part, std::nullopt), HasSubstr(std::string(part) + " is missing")) << part;
    EXPECT_THAT(refusal(part, Shape{1, 1, 9}), HasSubstr(std::string(part) + " has shape")) << part;
  }
  EXPECT_THAT(refusal("log_A_real", Shape{72, 0}),
              HasSubstr("half of d_state is 0; expected 1 to"));
  EXPECT_THAT(refusal("log_A_real", Shape{0, 5}), HasSubstr("expected"));
}

}  // namespace
}  // namespace krait
