// States as values: to and from files, and what a rounded one is worth.
#include <algorithm>
#include <cmath>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/formats/state_file.h"

namespace krait {
namespace {

StateModel model_of(const Engine& engine) {
  return {engine.name(), engine.fingerprint(), engine.model().config().embedding_rows,
          engine.model().state_layout()};
}

}  // namespace

void save_state(const Engine& engine, const SavedState& state, const std::string& path,
                DType planes) {
  write_state_file(path, model_of(engine), state, planes);
}

SavedState load_state(const Engine& engine, const std::string& path) {
  return read_state_file(path, model_of(engine));
}

double state_error(Engine& engine, const Snapshot& exact, const Snapshot& other) {
  KRAIT_CHECK(!exact->logits.empty());
  const auto likeliest = std::max_element(exact->logits.begin(), exact->logits.end());
  const auto id = static_cast<int32_t>(likeliest - exact->logits.begin());
  const auto a = engine.session(), b = engine.session();
  a->restore(exact);
  b->restore(other);
  a->feed({&id, 1});
  b->feed({&id, 1});
  float difference = 0, largest = 0;
  for (size_t i = 0; i < a->logits().size(); ++i) {
    difference = std::max(difference, std::abs(a->logits()[i] - b->logits()[i]));
    largest = std::max(largest, std::abs(a->logits()[i]));
  }
  return largest > 0 ? difference / largest : difference;
}

}  // namespace krait
