#include "krait/error.h"
#include "src/base/json.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

class Depth final : public JsonEvents {
 public:
  void scalar(nlohmann::json&&) override {}
  void key(std::string&&) override {}
  void begin_object() override { ++open; }
  void end_object() override { --open; }
  void begin_array() override { ++open; }
  void end_array() override { --open; }

  int open = 0;
};

void run(std::string_view input) {
  Depth depth;
  parse_json_events(input, "input", depth);
  KRAIT_CHECK(depth.open == 0);
  const std::string once = parse_json(input, "input").dump();
  KRAIT_CHECK(parse_json(once, "once").dump() == once);
}

const Registration kTarget({"json", run});

}  // namespace
}  // namespace krait::fuzz
