// Every published shape, in the layouts it is published in, as `krait info` sees it: from a folder
// and from the hub's cache. The files have all of their size and none of the weights.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/cli/run.h"
#include "tests/support/temp_folder.h"
#include "tools/common/published_shapes.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using test::TempFolder;

struct Published {
  const char* name;
  RandomLayout layout;
  const char* architecture;
  int64_t parameters;
  int64_t state_bytes;  // float32, d_conv - 1 columns of the convolution
  int64_t vocab_size;
  int64_t rows;
};

constexpr RandomLayout kHub = RandomLayout::hugging_face;
constexpr RandomLayout kNative = RandomLayout::mamba_ssm;

// Counts and sizes follow from the papers' formulas; they were not taken from krait.
const std::vector<Published> kPublished = {
    {"mamba-130m", kHub, "mamba", 129'135'360, 2'801'664, 50280, 50280},
    {"mamba-370m", kHub, "mamba", 371'516'416, 7'471'104, 50280, 50280},
    {"mamba-790m", kHub, "mamba", 793'204'224, 11'206'656, 50280, 50280},
    {"mamba-1.4b", kHub, "mamba", 1'372'178'432, 14'942'208, 50280, 50280},
    {"mamba-2.8b", kHub, "mamba", 2'768'345'600, 24'903'680, 50280, 50280},
    {"mamba-2.8b-slimpj", kNative, "mamba", 2'768'345'600, 24'903'680, 50277, 50280},
    {"mamba-130m", kNative, "mamba", 129'135'360, 2'801'664, 50277, 50280},
    {"mamba2-130m", kNative, "mamba2", 128'989'632, 19'390'464, 50277, 50288},
    {"mamba2-370m", kNative, "mamba2", 368'346'624, 51'658'752, 50277, 50288},
    {"mamba2-780m", kNative, "mamba2", 780'161'280, 77'414'400, 50277, 50288},
    {"mamba2-1.3b", kNative, "mamba2", 1'343'757'312, 103'170'048, 50277, 50288},
    {"mamba2-2.7b", kNative, "mamba2", 2'702'599'680, 171'900'928, 50277, 50288},
    {"mamba2-130m", kHub, "mamba2", 128'989'632, 19'390'464, 50288, 50288},
    {"falcon-mamba-7b", kHub, "falcon_mamba", 7'272'665'088, 39'845'888, 65024, 65024},
    {"mamba-codestral-7b", kHub, "mamba2", 7'285'403'648, 276'299'776, 32768, 32768},
    {"mamba-codestral-7b", RandomLayout::mistral, "mamba2", 7'285'403'648, 276'299'776, 32768,
     32768},
};

void write_header(const std::string& folder, const Published& published) {
  RandomCheckpoint settings = published_shape(published.name, published.layout);
  settings.dtype = DType::bf16;
  settings.header_only = true;
  write_random_checkpoint(folder, settings);
}

void expect_info(const nlohmann::json& info, const Published& published) {
  EXPECT_EQ(info["architecture"], published.architecture);
  EXPECT_EQ(info["parameters"], published.parameters);
  EXPECT_EQ(info["bytes_by_dtype"]["bf16"], 2 * published.parameters);
  EXPECT_EQ(info["state_bytes_per_sequence"], published.state_bytes);
  EXPECT_EQ(info["vocab_size"], published.vocab_size);
  EXPECT_EQ(info["embedding_rows"], published.rows);
}

TEST(PublishedShapes, AreWhatInfoSays) {
  for (const Published& published : kPublished) {
    SCOPED_TRACE(std::string(published.name) + " in layout " +
                 std::to_string(static_cast<int>(published.layout)));
    const TempFolder folder;
    write_header(folder.path("model"), published);
    const Result result = run({"info", "-m", folder.path("model"), "--json"});
    EXPECT_EQ(result.err, "");  // numbers of the config that the shapes contradict are warned of
    ASSERT_EQ(result.exit_code, 0);
    expect_info(nlohmann::json::parse(result.out), published);
  }
}

TEST(PublishedShapes, TableIsComplete) {
  for (const std::string& name : published_shapes())
    EXPECT_TRUE(std::any_of(kPublished.begin(), kPublished.end(), [&](const Published& published) {
      return published.name == name;
    })) << name;
}

// The folder of a repository as the hub's libraries leave it: snapshots of links into blobs.
void move_into_cache(const std::string& model, const TempFolder& cache, const std::string& folder) {
  const std::string commit = "0123456789abcdef0123456789abcdef01234567";
  cache.write(folder + "/refs/main", commit);
  const fs::path repository = cache.path(folder);
  fs::create_directories(repository / "blobs");
  fs::create_directories(repository / "snapshots" / commit);
  int blob = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(model)) {
    const std::string name = "b" + std::to_string(blob++);
    fs::rename(entry.path(), repository / "blobs" / name);
    fs::create_symlink("../../blobs/" + name,
                       repository / "snapshots" / commit / entry.path().filename());
  }
}

TEST(PublishedShapes, AreFoundInTheHubCache) {
  const TempFolder folder;
  ASSERT_EQ(::setenv("HF_HUB_CACHE", folder.path().c_str(), 1), 0);
  for (const Published& published : kPublished) {
    if (published.layout != kHub && published.layout != RandomLayout::mistral) continue;
    SCOPED_TRACE(published.name);
    const std::string id =
        "owner" + std::to_string(static_cast<int>(published.layout)) + "/" + published.name;
    write_header(folder.path("plain"), published);
    std::string repository = "models--" + id;
    repository.replace(repository.find('/'), 1, "--");
    move_into_cache(folder.path("plain"), folder, repository);
    expect_info(run_json({"info", "-m", id}), published);
  }
  ::unsetenv("HF_HUB_CACHE");
}

// Pages of a file in memory. Those of a hole are there once they have been read.
size_t resident_pages(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const size_t bytes = fs::file_size(path);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
  ::close(file);
  EXPECT_NE(mapped, MAP_FAILED);
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident((bytes + page - 1) / page);
  EXPECT_EQ(::mincore(mapped, bytes, resident.data()), 0);
  ::munmap(mapped, bytes);
  return static_cast<size_t>(
      std::count_if(resident.begin(), resident.end(), [](unsigned char b) { return b & 1; }));
}

TEST(PublishedShapes, InfoDoesNotReadWeights) {
  const TempFolder folder;
  const Published& published = kPublished.back();
  write_header(folder.path(), published);
  expect_info(run_json({"info", "-m", folder.path()}), published);
  // 14 GB are 3.5 million pages; the header and what is read ahead of it are some dozens.
  EXPECT_LT(resident_pages(folder.path("consolidated.safetensors")), 2000u);
}

}  // namespace
}  // namespace krait
