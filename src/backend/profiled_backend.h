// A backend that times another one.
#pragma once

#include <memory>

#include "krait/backend.h"
#include "krait/profile.h"

namespace krait {

// Passes everything on to `backend` and tells `profile` how long each operation took, until it was
// done. A product is named after its matrix, without the layer: "in_proj".
std::unique_ptr<Backend> make_profiled_backend(std::unique_ptr<Backend> backend, Profile& profile);

}  // namespace krait
