#include "src/engine/finite_logits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "krait/error.h"

namespace krait {
namespace {

bool is_wrong(float value) noexcept {
  return !(std::fabs(value) <= std::numeric_limits<float>::max());
}

std::string first_layer(Engine& engine, const Whereabouts& at) {
  Backend& backend = engine.backend();
  const Model& model = engine.model();
  const auto state = backend.buffer(model.state_layout().floats_per_slot());
  backend.copy(at.state.data, state->data, state->size);
  const auto workspace = model.workspace(1, 1);
  const std::optional<int64_t> layer =
      model.first_broken_layer(at.id, {state->data, state->size}, *workspace);
  if (!layer) return "the outputs of all layers are finite, those of the head are not";
  if (*layer < 0) return "the embedding of token " + std::to_string(at.id) + " is too large";
  return "layer " + std::to_string(*layer) + " of " +
         std::to_string(std::ssize(model.config().layers)) +
         " (from 0) is the first whose output is not finite or too large";
}

}  // namespace

// All are looked at before one is looked for: so the compiler makes vectors of the loop.
void require_finite_logits(Engine& engine, std::span<const float> logits, const Whereabouts& at) {
  int wrong = 0;
  for (const float logit : logits) wrong |= is_wrong(logit);
  if (!wrong) return;
  const auto found = std::find_if(logits.begin(), logits.end(), is_wrong);
  throw Failure("after " + std::to_string(at.position) + " tokens the logit of token " +
                std::to_string(found - logits.begin()) + " is " +
                (std::isnan(*found) ? "nan" : std::to_string(*found)) +
                "; the model's output is not usable: " + first_layer(engine, at));
}

}  // namespace krait
