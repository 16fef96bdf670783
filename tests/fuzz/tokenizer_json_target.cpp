#include "krait/tokenizer.h"
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

void run(std::string_view input) {
  const MemoryFile file(input);
  exercise(*load_tokenizer_json(file.path()));
}

const Registration kTarget({"tokenizer_json", run});

}  // namespace
}  // namespace krait::fuzz
