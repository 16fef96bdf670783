// Logits that are not finite: no token may be drawn from them, and no score made.
#pragma once

#include <cstdint>
#include <span>

#include "krait/engine.h"

namespace krait {

// Where a sequence stands: after `position` tokens, the last of which is `id`, with `state`.
struct Whereabouts {
  int64_t position = 0;
  int32_t id = 0;
  StateView state;
};

// Throws Failure naming the token, and the first layer whose output is not finite: it is looked for
// by feeding the last token once more, to a copy of the state.
void require_finite_logits(Engine& engine, std::span<const float> logits, const Whereabouts& at);

}  // namespace krait
