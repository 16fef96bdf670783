#include "krait/error.h"
#include "src/engine/batch_request.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

void run(std::string_view input) {
  custom_id_of(input);
  const BatchRequest request = parse_json_request(input, {});
  KRAIT_CHECK(request.n >= 1 && request.best_of >= request.n);
}

const Registration kTarget({"batch_request", run});

}  // namespace
}  // namespace krait::fuzz
