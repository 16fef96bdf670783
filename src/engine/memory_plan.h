// Whether a model fits: told from sizes alone, before anything large is allocated.
#pragma once

#include "krait/engine.h"

namespace krait {

// Throws InputError with what the model needs, what the device has left, and what would fit.
// `chunk`: tokens per prefill block.
void require_memory(const Backend& backend, const ModelFiles& files, const OpenOptions& options,
                    int32_t chunk);

}  // namespace krait
