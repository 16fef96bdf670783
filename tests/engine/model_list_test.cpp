// Which models are listed, and what is said of those that cannot be opened.
#include "krait/model_list.h"

#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/scoped_variable.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ModelListTest : public testing::Test {
 protected:
  void add(const std::string& repository, const std::string& commit) {
    const fs::path snapshot = folder_.path(repository + "/snapshots/" + commit);
    fs::create_directories(snapshot.parent_path());
    fs::copy(std::string(KRAIT_TEST_GOLDEN) + "/models/plain", snapshot);
  }
  static ListedModel find(const std::vector<ListedModel>& models, const std::string& name) {
    const auto found = std::find_if(models.begin(), models.end(),
                                    [&](const ListedModel& model) { return model.name == name; });
    if (found != models.end()) return *found;
    ADD_FAILURE() << name << " is not listed";
    return {};
  }

  test::TempFolder folder_;
  test::ScopedVariable variable_{"HF_HUB_CACHE", folder_.path()};
};

TEST_F(ModelListTest, ListsBundledAndCachedOnesWithTheirFigures) {
  add("models--owner--name", "0123");
  const auto models = list_models();
  ASSERT_EQ(models.size(), 6u);
  EXPECT_EQ(models[2].name, "induction");
  EXPECT_EQ(models[2].source, ModelSource::bundled);
  EXPECT_EQ(models[2].parameters, 66'496);
  const ListedModel cached = find(models, "owner/name");
  EXPECT_EQ(cached.problem, "");
  EXPECT_EQ(cached.source, ModelSource::hub);
  EXPECT_EQ(cached.architecture, "mamba");
  EXPECT_GT(cached.bytes_on_disk, cached.parameters);
  EXPECT_THAT(model_names(), testing::ElementsAre("copying", "copying-lti", "induction",
                                                  "induction-lti", "tales", "owner/name"));
}

TEST_F(ModelListTest, NothingWrongWithAnEntryEndsTheList) {
  add("models--owner--good", "0123");
  add("models--owner--two", "0123");
  add("models--owner--two", "4567");
  add("models--owner--damaged", "0123");
  folder_.write("models--owner--damaged/snapshots/0123/model.safetensors", "short");
  folder_.write("models--owner--lost/refs/main", "89ab");
  folder_.write("models--owner--odd/refs/main", "../../etc");
  folder_.write("models--owner--file", "");
  fs::create_directories(folder_.path("models--owner--empty"));
  fs::create_directories(folder_.path("models--.hidden"));
  fs::create_directories(folder_.path("datasets--owner--other/snapshots/0123"));
  const auto models = list_models();
  EXPECT_EQ(find(models, "owner/good").problem, "");
  EXPECT_EQ(find(models, "owner/two@0123").problem, "");
  EXPECT_EQ(find(models, "owner/two@4567").problem, "");
  for (const auto& [name, what] :
       std::vector<std::pair<std::string, std::string>>{{"owner/damaged", "model.safetensors"},
                                                        {"owner/lost", "89ab"},
                                                        {"owner/odd", "does not hold a commit"},
                                                        {"owner/file", "not a folder"},
                                                        {"owner/empty", "holds no snapshot"},
                                                        {".hidden", "not the name"}})
    EXPECT_THAT(find(models, name).problem, HasSubstr(what)) << name;
  EXPECT_EQ(models.size(), 5u + 9u);
}

}  // namespace
}  // namespace krait
