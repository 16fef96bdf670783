#include "krait/error.h"
#include "src/formats/safetensors.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

void run(std::string_view input) {
  for (const WeightsEntry& entry : parse_safetensors(std::as_bytes(std::span(input)), "input")) {
    try {
      if (entry.unread_type.empty()) touch(entry.tensor);
    } catch (const InputError&) {  // of a type that is no weight
    }
  }
}

const Registration kTarget({"safetensors", run});

}  // namespace
}  // namespace krait::fuzz
