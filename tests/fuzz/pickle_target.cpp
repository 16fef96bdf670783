#include "src/formats/pickle.h"
#include "tests/fuzz/pickle_mutator.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

void run(std::string_view input) { parse_pickle(std::as_bytes(std::span(input)), 0, "input"); }

const Registration kTarget({"pickle", run, mutate_pickle});

}  // namespace
}  // namespace krait::fuzz
