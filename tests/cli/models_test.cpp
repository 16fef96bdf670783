#include <algorithm>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

// A made-up cache of the Hugging Face hub.
class Models : public testing::Test {
 protected:
  // The snapshot's folder. Its files are links to blobs, as in a real one.
  std::string add(const std::string& repository, const std::string& commit, bool is_main = true) {
    const fs::path folder = fs::path(cache()) / repository;
    const fs::path snapshot = folder / "snapshots" / commit;
    fs::create_directories(snapshot);
    fs::create_directories(folder / "blobs");
    for (const auto& file : fs::directory_iterator(test_model())) {
      const std::string blob = (folder / "blobs" / (commit + file.path().filename().string()));
      fs::copy_file(file.path(), blob);
      fs::create_symlink(blob, snapshot / file.path().filename());
    }
    if (is_main) {
      fs::create_directories(folder / "refs");
      write_file((folder / "refs" / "main").string(), commit);
    }
    return snapshot.string();
  }

  std::string cache() const { return folder_.path("cache"); }

  nlohmann::json listed() const {
    nlohmann::json found;
    for (const auto& model : run_json({"models"})) found[model["name"].get<std::string>()] = model;
    return found;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    std::istringstream lines(run({"models", "--names"}).out);
    for (std::string line; std::getline(lines, line);) names.push_back(line);
    return names;
  }

  // Those of the cache: only their names have an owner.
  std::vector<std::string> cached_names() const {
    std::vector<std::string> cached = names();
    std::erase_if(cached, [](const std::string& name) { return name.find('/') == name.npos; });
    return cached;
  }

  test::TempFolder folder_;
  test::ScopedVariable variable_{"HF_HUB_CACHE", cache()};
};

TEST_F(Models, BundledOnesAreThereWithoutACache) {
  EXPECT_THAT(names(),
              IsSupersetOf({"tales", "induction", "induction-lti", "copying", "copying-lti"}));
  EXPECT_THAT(cached_names(), IsEmpty());
  const auto tales = listed()["tales"];
  EXPECT_EQ(tales["source"], "bundled");
  EXPECT_EQ(tales["architecture"], "mamba");
  EXPECT_EQ(tales["dtype"], "bf16");
  EXPECT_EQ(tales["problem"], nullptr);
  const auto info = run_json({"info"});
  EXPECT_EQ(tales["path"], info["path"]);
  EXPECT_EQ(tales["parameters"], info["parameters"]);
}

TEST_F(Models, CachedOnesAreListedWithTheirFigures) {
  const std::string snapshot = add("models--owner--some-model", "0123abcd");
  add("datasets--owner--other", "0123abcd");
  EXPECT_THAT(cached_names(), ElementsAre("owner/some-model"));
  const auto model = listed()["owner/some-model"];
  EXPECT_EQ(model["source"], "hub");
  EXPECT_EQ(model["path"], snapshot);
  EXPECT_EQ(model["problem"], nullptr);
  const auto info = run_json({"info", "-m", "owner/some-model"});
  for (const char* key : {"architecture", "parameters", "dtype"}) EXPECT_EQ(model[key], info[key]);
  uintmax_t bytes = 0;
  for (const auto& file : fs::directory_iterator(snapshot)) bytes += fs::file_size(file.path());
  EXPECT_EQ(model["bytes_on_disk"], bytes);
  const std::string text = run({"models"}).out;
  EXPECT_THAT(text, AllOf(HasSubstr("\nowner/some-model  mamba "), HasSubstr(snapshot + "\n")));
}

TEST_F(Models, SeveralSnapshotsWithoutMainAreNamedByTheirCommits) {
  add("models--owner--m", "aaaa", false);
  add("models--owner--m", "bbbb", false);
  fs::create_directories(cache() + "/models--owner--m/snapshots/$(touch x)");  // no commit
  EXPECT_THAT(cached_names(), ElementsAre("owner/m@aaaa", "owner/m@bbbb"));
  EXPECT_EQ(run_json({"info", "-m", "owner/m@bbbb"})["path"], listed()["owner/m@bbbb"]["path"]);
}

TEST_F(Models, BrokenEntriesSayWhatIsWrongAndDoNotEndTheList) {
  fs::create_directories(cache() + "/models--a--empty/snapshots");
  add("models--b--gone", "aaaa");
  fs::remove_all(cache() + "/models--b--gone/snapshots");
  add("models--c--bad-ref", "aaaa");
  write_file(cache() + "/models--c--bad-ref/refs/main", "../../..");
  write_file(cache() + "/models--d--file", "x");
  fs::remove(add("models--e--no-config", "aaaa") + "/config.json");
  const std::string config = add("models--f--other", "aaaa") + "/config.json";
  fs::remove(config);
  write_file(config, R"({"model_type": "llama"})");
  write_file(cache() + "/models--f--other/blobs/aaaamodel.safetensors", "");
  fs::create_directories(cache() + "/models--g--$(touch x)\n\x1b[31m");
  add("models--z--good", "aaaa");
  const auto models = listed();
  const auto problem = [&](const std::string& name) {
    EXPECT_TRUE(models.contains(name)) << models;
    EXPECT_EQ(models[name]["architecture"], nullptr) << name;
    return models[name]["problem"].is_string() ? models[name]["problem"].get<std::string>() : "";
  };
  EXPECT_THAT(problem("a/empty"), HasSubstr("no snapshot"));
  EXPECT_THAT(problem("b/gone"), HasSubstr("refs/main names the commit aaaa"));
  EXPECT_THAT(problem("c/bad-ref"), HasSubstr("does not hold a commit"));
  EXPECT_THAT(problem("d/file"), HasSubstr("not a folder"));
  EXPECT_THAT(problem("e/no-config"), HasSubstr("config.json"));
  EXPECT_NE(problem("f/other"), "");
  EXPECT_THAT(problem("g/$(touch x)\n\x1b[31m"), HasSubstr("not the name of a repository"));
  EXPECT_EQ(models["z/good"]["problem"], nullptr);
  const Result text = run({"models"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("unusable: not a folder\n"));
  EXPECT_EQ(text.out.find('\x1b'), text.out.npos) << "control characters stay off the terminal";
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '\n'), 1 + std::ssize(models));
  EXPECT_EQ(std::count_if(models.begin(), models.end(),
                          [](const auto& model) { return model["source"] == "hub"; }),
            8);
  for (const std::string& name : names()) EXPECT_EQ(name.find('$'), name.npos);
}

TEST_F(Models, ACacheThatCannotBeReadIsALine) {
  write_file(cache(), "not a folder");
  const Result result = run({"models"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("tales"), HasSubstr("cannot list the cache")));
}

}  // namespace
}  // namespace krait
