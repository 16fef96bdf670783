#include "tools/common/published_shapes.h"

#include <algorithm>
#include <array>

#include "krait/error.h"

namespace krait {
namespace {

struct PublishedShape {
  std::string_view name;
  RandomCheckpoint settings;
};

// GPT-NeoX's vocabulary, which mamba_ssm pads to a multiple of 8 for Mamba-1 and 16 for Mamba-2.
constexpr int64_t kNeoxTokens = 50277;

constexpr RandomCheckpoint mamba1(int64_t d_model, int64_t n_layer) {
  return {.d_model = d_model, .n_layer = n_layer, .vocab_rows = 50280, .vocab_size = kNeoxTokens};
}

constexpr RandomCheckpoint mamba2(int64_t d_model, int64_t n_layer) {
  return {.architecture = RandomArchitecture::mamba2,
          .d_model = d_model,
          .n_layer = n_layer,
          .d_state = 128,
          .vocab_rows = 50288,
          .vocab_size = kNeoxTokens};
}

constexpr std::array<PublishedShape, 13> kShapes = {{
    {"mamba-130m", mamba1(768, 24)},
    {"mamba-370m", mamba1(1024, 48)},
    {"mamba-790m", mamba1(1536, 48)},
    {"mamba-1.4b", mamba1(2048, 48)},
    {"mamba-2.8b", mamba1(2560, 64)},
    {"mamba-2.8b-slimpj", mamba1(2560, 64)},
    {"mamba2-130m", mamba2(768, 24)},
    {"mamba2-370m", mamba2(1024, 48)},
    {"mamba2-780m", mamba2(1536, 48)},
    {"mamba2-1.3b", mamba2(2048, 48)},
    {"mamba2-2.7b", mamba2(2560, 64)},
    {"falcon-mamba-7b",
     {.architecture = RandomArchitecture::falcon_mamba,
      .d_model = 4096,
      .n_layer = 64,
      .expand = 16,  // as its config says, although intermediate_size is what holds
      .intermediate_size = 8192,
      .vocab_rows = 65024,
      .tied = false}},
    {"mamba-codestral-7b",
     {.architecture = RandomArchitecture::mamba2,
      .d_model = 4096,
      .n_layer = 64,
      .d_state = 128,
      .n_groups = 8,
      .vocab_rows = 32768,
      .tied = false}},
}};

}  // namespace

std::vector<std::string> published_shapes() {
  std::vector<std::string> names;
  for (const PublishedShape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

RandomCheckpoint published_shape(std::string_view name, RandomLayout layout) {
  const auto found = std::find_if(kShapes.begin(), kShapes.end(),
                                  [&](const PublishedShape& shape) { return shape.name == name; });
  if (found == kShapes.end())
    throw InputError("there is no published shape '" + std::string(name) + "'");
  RandomCheckpoint settings = found->settings;
  settings.layout = layout;
  if (layout == RandomLayout::hugging_face) settings.vocab_size = 0;  // the rows, padding included
  return settings;
}

}  // namespace krait
