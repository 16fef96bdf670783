#include "src/engine/fingerprint.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "src/formats/open.h"

namespace krait {
namespace {

// A checkpoint that notes what is given back.
class Watched final : public Checkpoint {
 public:
  explicit Watched(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
  const std::string& source() const noexcept override { return checkpoint_.source(); }
  std::string_view container() const noexcept override { return checkpoint_.container(); }
  const nlohmann::json& config() const noexcept override { return checkpoint_.config(); }
  const std::vector<std::string>& names() const noexcept override { return checkpoint_.names(); }
  const Tensor* find(std::string_view name) const override { return checkpoint_.find(name); }
  const std::string& file_of(std::string_view name) const noexcept override {
    return checkpoint_.file_of(name);
  }
  void release(const Tensor& tensor) const noexcept override { released_.insert(&tensor); }

  const std::set<const Tensor*>& released() const { return released_; }

 private:
  const Checkpoint& checkpoint_;
  mutable std::set<const Tensor*> released_;
};

// Looking at a few bytes of every tensor brings a good part of the file into memory, at the moment
// when the packed weights are there, too.
TEST(Fingerprint, GivesTheFilesPagesBack) {
  const auto checkpoint = open_checkpoint(std::string(KRAIT_TEST_GOLDEN) + "/models/plain");
  const Watched watched(*checkpoint);
  const ModelConfig config = read_model_config(*checkpoint, [](const std::string&) {});
  EXPECT_EQ(fingerprint_of(watched, config), fingerprint_of(*checkpoint, config));
  EXPECT_EQ(watched.released().size(), checkpoint->names().size());
}

}  // namespace
}  // namespace krait
