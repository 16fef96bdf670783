// Writes a Mamba checkpoint with random weights: see tools/common/random_checkpoint.h.
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include <CLI/CLI.hpp>

#include "krait/error.h"
#include "tools/common/published_shapes.h"
#include "tools/common/random_checkpoint.h"

namespace {

const std::map<std::string, krait::RandomArchitecture> kArchitectures = {
    {"mamba", krait::RandomArchitecture::mamba},
    {"falcon_mamba", krait::RandomArchitecture::falcon_mamba},
    {"mamba2", krait::RandomArchitecture::mamba2}};

const std::map<std::string, krait::RandomLayout> kLayouts = {
    {"hugging_face", krait::RandomLayout::hugging_face},
    {"mamba_ssm", krait::RandomLayout::mamba_ssm},
    {"mistral", krait::RandomLayout::mistral}};

int run(int argc, char** argv) {
  krait::RandomCheckpoint c;
  std::string folder;
  std::string dtype = "f32";
  CLI::App app("Writes a Mamba checkpoint with random weights.");
  app.option_defaults()->always_capture_default();
  app.add_option("OUT", folder, "folder to write; made if missing")->required();
  // Options take effect in the order in which they are added here: those after --shape override it.
  app.add_option_function<std::string>(
         "--layout", [&](const std::string& name) { c.layout = kLayouts.at(name); },
         "whose config and names: hugging_face (default), mamba_ssm, mistral")
      ->check(CLI::IsMember(kLayouts));
  app.add_option_function<std::string>(
         "--shape", [&](const std::string& name) { c = krait::published_shape(name, c.layout); },
         "shape of a published model; single flags override it")
      ->check(CLI::IsMember(krait::published_shapes()));
  app.add_option_function<std::string>(
         "--architecture",
         [&](const std::string& name) { c.architecture = kArchitectures.at(name); },
         "mamba (default), falcon_mamba, mamba2")
      ->check(CLI::IsMember(kArchitectures));
  app.add_option("--d-model", c.d_model);
  app.add_option("--n-layer", c.n_layer);
  app.add_option("--d-state", c.d_state);
  app.add_option("--d-conv", c.d_conv);
  app.add_option("--expand", c.expand);
  app.add_option("--intermediate-size", c.intermediate_size, "d_inner; 0: expand * d_model");
  app.add_option("--dt-rank", c.dt_rank, "0: ceil(d_model / 16); not mamba2");
  app.add_option("--head-dim", c.head_dim, "mamba2");
  app.add_option("--n-groups", c.n_groups, "mamba2");
  app.add_option("--vocab-rows", c.vocab_rows, "rows of the embedding");
  app.add_option("--vocab-size", c.vocab_size, "as the config says; 0: the rows");
  app.add_option("--dtype", dtype)->check(CLI::IsMember({"f32", "f16", "bf16"}));
  app.add_flag("--conv-bias,!--no-conv-bias", c.conv_bias, "bias of the convolution");
  app.add_flag("--use-bias", c.use_bias, "biases of in_proj and out_proj");
  app.add_flag("--tied,!--untied", c.tied, "the embedding is the head");
  app.add_option("--shards", c.shards, "number of weight files");
  app.add_flag("--header-only", c.header_only,
               "all weights 0, in files that take no room on the disk");
  app.add_option("-s,--seed", c.seed);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  c.dtype = krait::parse_dtype(dtype).value();
  krait::write_random_checkpoint(folder, c);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const krait::InputError& error) {
    std::fprintf(stderr, "make_checkpoint: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_checkpoint: %s\n", error.what());
    return 1;
  }
}
