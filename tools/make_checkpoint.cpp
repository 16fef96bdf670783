// Writes a Mamba checkpoint with random weights: see tools/common/random_checkpoint.h.
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include <CLI/CLI.hpp>

#include "krait/error.h"
#include "tools/common/random_checkpoint.h"

namespace {

struct ShapePreset {
  int64_t d_model;
  int64_t n_layer;
};

// The models of the Mamba paper; all have d_state 16, d_conv 4, expand 2 and 50280 rows.
const std::map<std::string, ShapePreset> kShapes = {{"mamba-130m", {768, 24}},
                                                    {"mamba-370m", {1024, 48}},
                                                    {"mamba-790m", {1536, 48}},
                                                    {"mamba-1.4b", {2048, 48}},
                                                    {"mamba-2.8b", {2560, 64}}};

int run(int argc, char** argv) {
  krait::RandomCheckpoint c;
  std::string folder;
  std::string shape;
  std::string dtype = "f32";
  CLI::App app("Writes a Hugging Face Mamba checkpoint with random weights.");
  app.option_defaults()->always_capture_default();
  app.add_option("OUT", folder, "folder to write; made if missing")->required();
  app.add_option("--shape", shape, "shape of a published model; single flags override it")
      ->check(CLI::IsMember(kShapes));
  auto* d_model = app.add_option("--d-model", c.d_model);
  auto* n_layer = app.add_option("--n-layer", c.n_layer);
  app.add_option("--d-state", c.d_state);
  app.add_option("--d-conv", c.d_conv);
  app.add_option("--expand", c.expand);
  app.add_option("--intermediate-size", c.intermediate_size, "d_inner; 0: expand * d_model");
  app.add_option("--dt-rank", c.dt_rank, "0: ceil(d_model / 16)");
  auto* rows = app.add_option("--vocab-rows", c.vocab_rows, "rows of the embedding");
  app.add_option("--vocab-size", c.vocab_size, "as config.json says; 0: the rows");
  app.add_option("--dtype", dtype)->check(CLI::IsMember({"f32", "f16", "bf16"}));
  app.add_flag("--conv-bias,!--no-conv-bias", c.conv_bias, "bias of the convolution");
  app.add_flag("--use-bias", c.use_bias, "biases of in_proj and out_proj");
  app.add_flag("--tied,!--untied", c.tied, "the embedding is the head");
  app.add_option("--shards", c.shards, "number of weight files");
  app.add_option("-s,--seed", c.seed);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!shape.empty()) {
    const ShapePreset& preset = kShapes.at(shape);
    if (d_model->empty()) c.d_model = preset.d_model;
    if (n_layer->empty()) c.n_layer = preset.n_layer;
    if (rows->empty()) c.vocab_rows = 50280;
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
