// A model that does not fit is refused with numbers, before anything of its size is allocated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/engine.h"
#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using test::message_of;
using testing::HasSubstr, testing::Not;

OpenOptions options_for(const std::string& model) {
  OpenOptions options;
  options.model = model;
  options.backend = {"cpu", "auto", 1};
  return options;
}

// What the loaded model says of itself.
int64_t loaded_bytes(const Model& model) {
  const ModelConfig& config = model.config();
  const int64_t elements = model.multiply_adds_per_token(true);  // of all matrices but one
  const int64_t table = config.tied_head ? 0 : config.embedding_rows * config.d_model;
  return model.weight_bytes_per_token() + 4 * (model.parameter_count() - elements - table);
}

TEST(MemoryPlan, WeightsAreCountedAsTheyWillBeHeld) {
  for (const char* name : {"plain", "bf16", "falcon_odd", "mamba2", "mamba2_groups", "codestral",
                           "native_gate_only", "odd_inner", "one_state", "shards"})
    for (const auto dtype : {std::optional<DType>(), std::optional(DType::bf16),
                             std::optional(DType::q8_0), std::optional(DType::q4_k)}) {
      OpenOptions options = options_for(std::string(KRAIT_TEST_GOLDEN) + "/models/" + name);
      options.dtype = dtype;
      const auto engine = Engine::open(options);
      const ModelFiles files = open_model_files(options);
      const int64_t table =
          files.config.tied_head
              ? 0
              : engine->backend().matrix_bytes(
                    files.config.embedding_rows, files.config.d_model,
                    dtype == DType::q4_k ? DType::q6_k : dtype.value_or(DType::f32));
      if (!dtype && !files.config.tied_head) continue;  // the table's own type is not told
      EXPECT_EQ(weight_bytes(engine->backend(), *files.checkpoint, files.config, dtype),
                loaded_bytes(engine->model()) + table)
          << name;
    }
}

TEST(MemoryPlan, RefusesOneByteTooLittle) {
  OpenOptions options = options_for(std::string(KRAIT_TEST_GOLDEN) + "/models/mamba2");
  const auto engine = Engine::open(options);
  const ModelFiles files = open_model_files(options);
  for (const auto& [slots, all_logits] : {std::pair(1, false), {1, true}, {5, false}}) {
    options.slots = slots;
    options.all_logits = all_logits;
    const int64_t chunk = engine->backend().info().prefill_tokens;
    const int64_t needed =
        weight_bytes(engine->backend(), *files.checkpoint, files.config, std::nullopt) +
        slots * engine->model().state_layout().bytes_per_slot() +
        workspace_bytes(files.config, slots > 1 ? slots + chunk : chunk,
                        all_logits ? chunk : slots);
    options.memory_limit = needed;
    EXPECT_NE(Engine::open(options), nullptr);
    options.memory_limit = needed - 1;
    EXPECT_THAT(message_of<InputError>([&] { Engine::open(options); }),
                HasSubstr("but the limit given leaves"));
  }
}

// Sizes of mamba-2.8b, in a file that takes no room on the disk.
class LargeModel : public testing::Test {
 protected:
  static RandomCheckpoint checkpoint() {
    RandomCheckpoint c;
    c.d_model = 2560;
    c.n_layer = 64;
    c.vocab_rows = 50280;
    c.dtype = DType::f32;
    c.header_only = true;
    return c;
  }
  LargeModel() { write_random_checkpoint(folder_.path("large"), checkpoint()); }

  std::string refusal(int64_t limit, int32_t slots = 1,
                      std::optional<DType> dtype = std::nullopt) const {
    OpenOptions options = options_for(folder_.path("large"));
    options.memory_limit = limit;
    options.slots = slots;
    options.dtype = dtype;
    return message_of<InputError>([&] { Engine::open(options); });
  }

  test::TempFolder folder_;
};

constexpr int64_t kGigabyte = int64_t{1} << 30;

TEST_F(LargeModel, IsRefusedWithNumbersAndWhatWouldFit) {
  EXPECT_EQ(refusal(8 * kGigabyte),
            folder_.path("large") +
                " needs 10.3 GiB (weights 10.3 GiB, states 23.8 MiB, workspace 5.3 MiB), but the "
                "limit given leaves 8.0 GiB; try --dtype bf16, 5.2 GiB");
  EXPECT_THAT(refusal(4 * kGigabyte), HasSubstr("; try --dtype q8_0, 2."));
  EXPECT_THAT(refusal(2 * kGigabyte), HasSubstr("; try --dtype q4_k, 1."));
  EXPECT_THAT(refusal(kGigabyte / 2), HasSubstr("; no --dtype is narrow enough"));
  EXPECT_THAT(refusal(3 * kGigabyte, 1, DType::bf16), HasSubstr("needs 5.2 GiB"));
}

TEST_F(LargeModel, IsRefusedForItsStates) {
  EXPECT_THAT(refusal(20 * kGigabyte, 1000), HasSubstr("states 23."));
  EXPECT_THAT(refusal(20 * kGigabyte, 1000), HasSubstr("; try fewer sequences at a time"));
}

}  // namespace
}  // namespace krait
