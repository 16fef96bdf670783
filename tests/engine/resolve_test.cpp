#include "src/engine/resolve.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "krait/error.h"
#include "src/engine/hub_cache.h"
#include "tests/support/expect_error.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::ScopedVariable;
using test::TempFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

// Folders of bundled models and a hub cache of its own.
class ResolveModel : public testing::Test {
 protected:
  ResolveModel() {
    places.write("bundled/tales/config.json", "{}");
    places.write("bundled/other/config.json", "{}");
    places.write("second/tales/config.json", "{}");
    places.write("second/extra/config.json", "{}");
    places.write("bundled/secret", "not a folder");
  }
  ResolvedModel resolve(const std::string& name) const {
    return resolve_model(name, {places.path("bundled"), places.path("second")});
  }
  std::string refusal(const std::string& name) const {
    return test::message_of<InputError>([&] { resolve(name); });
  }
  // A snapshot of a repository in the cache; returns its folder.
  std::string add_snapshot(const std::string& folder, const std::string& commit) const {
    places.write("hub/" + folder + "/snapshots/" + commit + "/config.json", "{}");
    return places.path("hub/" + folder + "/snapshots/" + commit);
  }
  void add_ref(const std::string& folder, const std::string& ref, const std::string& text) const {
    places.write("hub/" + folder + "/refs/" + ref, text);
  }

  TempFolder places;
  ScopedVariable cache{"HF_HUB_CACHE", places.path("hub")};
};

TEST_F(ResolveModel, TakesAnExistingPathAsGiven) {
  const std::string file = places.write("x/model.safetensors", "");
  EXPECT_EQ(resolve(file).path, file);
  EXPECT_EQ(resolve(file).name, file);
  EXPECT_EQ(resolve(places.path("x")).path, places.path("x"));
  EXPECT_EQ(resolve(places.path("x") + "/").path, places.path("x") + "/");
}

TEST_F(ResolveModel, PrefersAPathToABundledName) {
  const fs::path before = fs::current_path();
  fs::create_directories(places.path("here/tales"));
  fs::current_path(places.path("here"));
  const std::string path = resolve("tales").path;
  fs::current_path(before);
  EXPECT_EQ(path, "tales");
}

TEST_F(ResolveModel, FindsBundledModelsInOrder) {
  EXPECT_EQ(resolve("tales").path, places.path("bundled/tales"));
  EXPECT_EQ(resolve("tales").name, "tales");
  EXPECT_EQ(resolve("extra").path, places.path("second/extra"));
}

TEST_F(ResolveModel, TakesTheBundledDefaultForAnEmptyName) {
  EXPECT_EQ(resolve("").path, places.path("bundled/tales"));
  EXPECT_EQ(resolve("").name, "tales");
  EXPECT_THAT(test::message_of<InputError>([&] { resolve_model("", {places.path("none")}); }),
              AllOf(HasSubstr("'tales' not found"), HasSubstr("Bundled models: none")));
}

TEST_F(ResolveModel, PrefersABundledNameToTheHub) {
  add_snapshot("models--other", "c1");
  EXPECT_EQ(resolve("other").path, places.path("bundled/other"));
}

TEST_F(ResolveModel, FindsTheMainSnapshotInTheHubCache) {
  add_snapshot("models--owner--name", "c1");
  const std::string main = add_snapshot("models--owner--name", "c2");
  add_ref("models--owner--name", "main", "c2\n");
  EXPECT_EQ(resolve("owner/name").path, main);
  EXPECT_EQ(resolve("owner/name").name, "owner/name");
  const std::string plain = add_snapshot("models--gpt", "c3");
  add_ref("models--gpt", "main", "c3");
  EXPECT_EQ(resolve("gpt").path, plain);
}

TEST_F(ResolveModel, FindsARevisionByRefOrCommit) {
  const std::string first = add_snapshot("models--o--n", "c1");
  const std::string second = add_snapshot("models--o--n", "c2");
  add_ref("models--o--n", "main", "c1");
  add_ref("models--o--n", "v1.0", "c2");
  add_ref("models--o--n", "refs/pr/3", "c2");
  EXPECT_EQ(resolve("o/n").path, first);
  EXPECT_EQ(resolve("o/n@main").path, first);
  EXPECT_EQ(resolve("o/n@v1.0").path, second);
  EXPECT_EQ(resolve("o/n@refs/pr/3").path, second);
  EXPECT_EQ(resolve("o/n@c2").path, second);
  EXPECT_THAT(refusal("o/n@c3"), HasSubstr("models--o--n, revision c3"));
}

TEST_F(ResolveModel, TakesTheOnlySnapshotWhenThereIsNoMain) {
  const std::string only = add_snapshot("models--o--n", "c1");
  EXPECT_EQ(resolve("o/n").path, only);
  add_snapshot("models--o--n", "c2");
  EXPECT_THAT(refusal("o/n"), AllOf(HasSubstr("several snapshots"), HasSubstr("o/n@c1")));
}

TEST_F(ResolveModel, DoesNotTakeAnotherSnapshotThanMain) {
  add_snapshot("models--o--n", "c1");
  add_ref("models--o--n", "main", "c2");
  EXPECT_THAT(refusal("o/n"), HasSubstr("not found"));
}

TEST_F(ResolveModel, RefusesARefThatLeavesTheCache) {
  add_snapshot("models--o--n", "c1");
  for (const char* text : {"../../../..", "..", "", "/etc", "c1/../c1", "c1 c1"}) {
    add_ref("models--o--n", "main", text);
    EXPECT_THAT(refusal("o/n"), HasSubstr("refs/main does not hold a commit")) << text;
  }
  add_ref("models--o--n", "main", std::string(100'000, 'a'));
  EXPECT_THAT(refusal("o/n"), HasSubstr("refs/main has 100000 bytes"));
}

TEST_F(ResolveModel, RefusesNamesThatLeaveTheFolders) {
  // Each would be found if the name were pasted into a path below "bundled" or "hub".
  places.write("secret/config.json", "{}");
  places.write("secret/snapshots/c1/config.json", "{}");
  places.write("hub/models--nobody/config.json", "{}");
  add_snapshot("models--nobody--n", "c1");
  for (const char* name : {"../secret", "tales/../../secret", "nobody/../../secret", "tales/..",
                           "nobody/n@../../../../secret", "nobody/n@..", "a/b/c", "/nobody/n",
                           "nobody//n", "nobody/", "@main", "nobody/n@"})
    EXPECT_THAT(refusal(name), AllOf(HasSubstr("not found"), Not(HasSubstr("Hugging Face cache"))))
        << name;
}

TEST_F(ResolveModel, ListsWhatItTriedAndWhatThereIs) {
  EXPECT_THAT(
      refusal("o/nope"),
      AllOf(HasSubstr("model 'o/nope' not found"), HasSubstr("the file or folder o/nope"),
            HasSubstr(places.path("hub/models--o--nope")),
            HasSubstr("Bundled models: extra other tales"), Not(HasSubstr("Did you mean"))));
  EXPECT_THAT(refusal("nope"),
              AllOf(HasSubstr(places.path("bundled/nope")), HasSubstr(places.path("second/nope")),
                    HasSubstr(places.path("hub/models--nope"))));
}

TEST_F(ResolveModel, SuggestsTheNearestBundledName) {
  for (const char* name : {"tale", "Tales", "tlaes", "talesx", "atles"})
    EXPECT_THAT(refusal(name), HasSubstr("Did you mean 'tales'?")) << name;
  EXPECT_THAT(refusal("oter"), HasSubstr("Did you mean 'other'?"));
  for (const char* name : {"x", "mamba-130m", "te"})
    EXPECT_THAT(refusal(name), Not(HasSubstr("Did you mean"))) << name;
}

TEST_F(ResolveModel, SuggestsNoShortNameOfWhichHalfTheLettersDiffer) {
  places.write("third/s1/config.json", "{}");
  const auto message = [&](const std::string& name) {
    return test::message_of<InputError>([&] { resolve_model(name, {places.path("third")}); });
  };
  EXPECT_THAT(message("x9"), Not(HasSubstr("Did you mean")));
  EXPECT_THAT(message("s2"), Not(HasSubstr("Did you mean")));
  places.write("third/s10/config.json", "{}");
  EXPECT_THAT(message("s11"), HasSubstr("Did you mean 's10'?"));
}

TEST_F(ResolveModel, WorksWithoutAnyCacheFolder) {
  const ScopedVariable a("HF_HUB_CACHE", {}), b("HF_HOME", {}), c("XDG_CACHE_HOME", {}),
      d("HOME", {});
  EXPECT_THAT(refusal("o/n"), AllOf(HasSubstr("not found"), Not(HasSubstr("Hugging Face"))));
}

TEST(HubCacheFolder, FollowsTheEnvironmentInOrder) {
  const ScopedVariable home("HOME", "/h");
  const ScopedVariable xdg("XDG_CACHE_HOME", "/x");
  const ScopedVariable hf("HF_HOME", "/f");
  const ScopedVariable cache("HF_HUB_CACHE", "/c");
  EXPECT_EQ(hub_cache_folder(), "/c");
  const ScopedVariable no_cache("HF_HUB_CACHE", "");  // set, but empty: as if it were not
  EXPECT_EQ(hub_cache_folder(), "/f/hub");
  const ScopedVariable no_hf("HF_HOME", {});
  EXPECT_EQ(hub_cache_folder(), "/x/huggingface/hub");
  const ScopedVariable no_xdg("XDG_CACHE_HOME", {});
  EXPECT_EQ(hub_cache_folder(), "/h/.cache/huggingface/hub");
  const ScopedVariable no_home("HOME", {});
  EXPECT_EQ(hub_cache_folder(), "");
}

TEST(HubId, IsOneOrTwoPartsAndARevision) {
  EXPECT_EQ(parse_hub_id("state-spaces/mamba-130m-hf")->repository, "state-spaces/mamba-130m-hf");
  EXPECT_EQ(parse_hub_id("a_b.c-1")->repository, "a_b.c-1");
  EXPECT_EQ(parse_hub_id("o/n@refs/pr/1")->revision, "refs/pr/1");
  EXPECT_EQ(parse_hub_id("o/n")->revision, "");
  for (const char* text :
       {"",    "/",  "a/", "/a",    "a//b", "a/b/c", ".",      "..",   "a/..", "../a", ".a",
        "a b", "a@", "@b", "a@b@c", "a@/b", "a@b/",  "a@../b", "a\\b", "ä",    "a\n"})
    EXPECT_EQ(parse_hub_id(text), std::nullopt) << text;
}

TEST(BundledModels, LieBesideTheProgramAndInTheSourceTree) {
  const fs::path program = fs::read_symlink("/proc/self/exe");
  const fs::path models = program.parent_path().parent_path() / "share/krait/models";
  fs::create_directories(models / "resolve-test-model");
  fs::create_directories(models / "resolve-test-junk");
  std::ofstream(models / "resolve-test-model/config.json") << "{}";
  const std::vector<std::string> names = bundled_models();
  const std::string path = resolve_model("resolve-test-model").path;
  for (const std::string& name : names)
    EXPECT_TRUE(fs::exists(resolve_model(name).path + "/config.json")) << name;
  fs::remove_all(models / "resolve-test-model");
  fs::remove_all(models / "resolve-test-junk");
  EXPECT_THAT(names, testing::Contains("resolve-test-model"));
  EXPECT_THAT(names, Not(testing::Contains("resolve-test-junk")));
  EXPECT_EQ(path, (models / "resolve-test-model").string());
}

}  // namespace
}  // namespace krait
