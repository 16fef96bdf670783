#include "src/engine/memory_plan.h"

#include <algorithm>
#include <cstdio>

#include "krait/error.h"

namespace krait {
namespace {

// "13.6 GiB"
std::string size(int64_t bytes) {
  constexpr double kKilo = 1024;
  const auto value = static_cast<double>(bytes);
  const bool giga = value >= kKilo * kKilo * kKilo;
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", value / (kKilo * kKilo * (giga ? kKilo : 1)),
                giga ? "GiB" : "MiB");
  return text;
}

struct Plan {
  int64_t weights = 0, states = 0, workspace = 0;
  int64_t total() const noexcept { return weights + states + workspace; }
};

Plan plan(const Backend& backend, const ModelFiles& files, const OpenOptions& options,
          int32_t chunk, std::optional<DType> dtype) {
  const int64_t tokens =
      options.slots > 1 ? options.slots + backend.info().prefill_tokens : int64_t{chunk};
  const int64_t logit_rows = options.all_logits ? chunk : options.slots;
  return {weight_bytes(backend, *files.checkpoint, files.config, dtype),
          options.slots * state_layout(files.config).bytes_per_slot(),
          workspace_bytes(files.config, tokens, logit_rows)};
}

}  // namespace

void require_memory(const Backend& backend, const ModelFiles& files, const OpenOptions& options,
                    int32_t chunk) {
  const MemoryLeft left = options.memory_limit
                              ? MemoryLeft{*options.memory_limit, "the limit given"}
                              : backend.memory_left();
  const Plan needed = plan(backend, files, options, chunk, options.dtype);
  if (needed.total() <= left.bytes) return;
  std::string message = files.name + " needs " + size(needed.total()) + " (weights " +
                        size(needed.weights) + ", states " + size(needed.states) + ", workspace " +
                        size(needed.workspace) + "), but " + left.limit + " leaves " +
                        size(left.bytes);
  const std::string elsewhere = backend.info().name == "cpu" ? "" : ", or --device cpu";
  for (const DType type : {DType::bf16, DType::q8_0, DType::q6_k, DType::q4_k}) {
    const Plan narrower = plan(backend, files, options, chunk, type);
    if (narrower.total() > left.bytes) continue;
    throw InputError(message + "; try --dtype " + std::string(dtype_name(type)) + ", " +
                     size(narrower.total()) + elsewhere);
  }
  if (needed.states + needed.workspace > needed.weights)
    throw InputError(message + "; try fewer sequences at a time or a smaller --chunk" + elsewhere);
  throw InputError(message + "; no --dtype is narrow enough: try a smaller model" + elsewhere);
}

}  // namespace krait
