#include <span>

#include "krait/error.h"
#include "src/base/hash.h"
#include "src/formats/state_file.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

// The input is a file without its checksum: with the right one it gets past the first door.
void run(std::string_view input) {
  StateLayout layout;
  layout.add(0, "conv", 3, 10);
  layout.add(0, "ssm", 4, 10);
  layout.add(1, "ssm", 2, 7);
  const StateModel model{"tiny", 0x1234, 25, layout};
  try {
    parse_state_file(input, "input", model);
  } catch (const InputError&) {
  }
  const uint64_t sum = hash_of(std::as_bytes(std::span(input)));
  std::string file(input);
  file.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  const SavedState state = parse_state_file(file, "input", model);
  KRAIT_CHECK(static_cast<int64_t>(state.snapshot->planes.size()) == layout.floats_per_slot());
}

const Registration kTarget({"state_file", run});

}  // namespace
}  // namespace krait::fuzz
