// Golden models on a device: the logits of the reference implementation, and the same bits however
// tokens are fed.
#include <gtest/gtest.h>

#include "tests/backend/support.h"
#include "tests/models/golden.h"

namespace krait {
namespace {

using test::Decoder, test::Golden, test::ModelRunner, test::read_golden, test::relative_error;

class DeviceModelTest : public testing::TestWithParam<std::tuple<test::Device, std::string>> {
 protected:
  const test::Device& device() const { return std::get<0>(GetParam()); }
  const std::string& name() const { return std::get<1>(GetParam()); }
  ModelRunner runner(std::optional<DType> dtype = std::nullopt, DType act = DType::f32) const {
    return {device()(2, act), name(), dtype};
  }
  // The golden ids and logits; of the twin, which is slow, only the first.
  Golden golden() const {
    Golden golden = read_golden(name());
    if (!device().emulated) return golden;
    constexpr size_t kTokens = 12;
    golden.logits.resize(golden.logits.size() / golden.ids.size() * kTokens);
    golden.ids.resize(kTokens);
    return golden;
  }
};

TEST_P(DeviceModelTest, LogitsEqualTransformers) {
  const Golden golden = this->golden();
  const int64_t whole = std::ssize(golden.ids);
  EXPECT_LE(relative_error(runner().logits(golden.ids, whole), golden.logits), 1e-4);
}

TEST_P(DeviceModelTest, BitsDoNotDependOnChunks) {
  const Golden golden = this->golden();
  const int64_t whole = std::ssize(golden.ids);
  std::vector<std::pair<DType, DType>> types = {{DType::bf16, DType::f32},
                                                {DType::q4_k, DType::f32}};
  if (!device().emulated)
    types.insert(types.end(), {{DType::f32, DType::f32},
                               {DType::bf16, DType::bf16},
                               {DType::q8_0, DType::f32},
                               {DType::q6_k, DType::f32}});
  for (const auto& [dtype, act] : types) {
    ModelRunner runner = this->runner(dtype, act);
    const std::vector<float> first = runner.logits(golden.ids, whole);
    for (const int64_t chunk : {int64_t{1}, int64_t{5}, whole / 2 + 1})
      EXPECT_EQ(runner.logits(golden.ids, chunk), first) << dtype_name(dtype) << " " << chunk;
  }
}

// Ids and slots change from step to step, batches grow and shrink, and two workspaces take turns.
TEST_P(DeviceModelTest, ReplayedStepsEqualSingleSequences) {
  ModelRunner runner = this->runner(DType::bf16);
  const std::vector<int32_t> ids = read_golden(name()).ids;
  const size_t rows = static_cast<size_t>(runner.model().config().embedding_rows);
  // What each of three sequences gives alone; sequence s reads ids[s], ids[s + 1], …
  constexpr int kSequences = 3, kSteps = 6;
  std::vector<std::vector<float>> alone;
  for (int s = 0; s < kSequences; ++s)
    alone.push_back(runner.logits({ids.begin() + s, ids.begin() + s + kSteps}, kSteps));
  Decoder together(runner, kSequences), other(runner, 1);
  std::vector<int> fed(kSequences);
  const std::vector<std::vector<int32_t>> turns = {{0, 1}, {1, 0}, {0, 1}, {2},    {2},
                                                   {2},    {2, 0}, {1, 0}, {1, 2}, {2, 1}};
  int other_fed = 0;
  for (const std::vector<int32_t>& slots : turns) {
    std::vector<int32_t> step_ids;
    for (const int32_t s : slots) step_ids.push_back(ids[s + fed[s]]);
    const std::vector<float> found = together.step(step_ids, slots);
    for (size_t i = 0; i < slots.size(); ++i) {
      const int32_t s = slots[i];
      EXPECT_TRUE(std::equal(found.begin() + i * rows, found.begin() + (i + 1) * rows,
                             alone[s].begin() + fed[s] * rows))
          << "sequence " << s << " after " << fed[s];
      ++fed[s];
    }
    if (other_fed == kSteps) continue;
    const std::vector<float> single = other.step({ids[other_fed]}, {0});
    EXPECT_TRUE(std::equal(single.begin(), single.end(), alone[0].begin() + other_fed * rows));
    ++other_fed;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceModelTest,
                         testing::Combine(testing::ValuesIn(test::devices()),
                                          testing::Values("plain", "falcon", "odd_inner",
                                                          "mamba2_groups", "native_gate_only",
                                                          "s4d")),
                         [](const auto& suite) {
                           return std::get<0>(suite.param).name + "_" + std::get<1>(suite.param);
                         });

}  // namespace
}  // namespace krait
