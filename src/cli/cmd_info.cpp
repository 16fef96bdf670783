#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "krait/error.h"
#include "src/cli/command.h"

namespace krait::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(Weights are not loaded: this is quick for a model of any size.

Examples:
  krait info
  krait info -m ./my-model --json
  krait info -m state-spaces/mamba-130m-hf)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
};

// 1e-05, not the 9.999999747378752e-06 that the float is as a double.
double as_written(float value) { return std::stod(fmt::format("{}", value)); }

// What the tensors of the checkpoint amount to.
struct Stored {
  int64_t parameters = 0;
  std::map<std::string, int64_t> bytes_by_dtype;
  std::set<std::string> files;
};

Stored count_tensors(const Checkpoint& checkpoint) {
  Stored stored;
  for (const std::string& name : checkpoint.names()) {
    stored.files.insert(checkpoint.file_of(name));
    try {
      const Tensor& tensor = *checkpoint.find(name);
      stored.parameters += tensor.elements();
      stored.bytes_by_dtype[std::string(dtype_name(tensor.dtype))] +=
          static_cast<int64_t>(tensor.data.size());
    } catch (const InputError& e) {  // a type that krait does not read; the rest is still of use
      spdlog::warn("{}", e.what());
    }
  }
  return stored;
}

Json mixer_json(const Mamba1Config& c) {
  Json json = {{"mixer", "mamba1"},
               {"d_inner", c.d_inner},
               {"d_state", c.d_state},
               {"d_conv", c.d_conv},
               {"dt_rank", c.dt_rank}};
  if (c.dt_b_c_rms_eps) json["dt_b_c_rms_eps"] = as_written(*c.dt_b_c_rms_eps);
  return json;
}

Json mixer_json(const Mamba2Config& c) {
  Json json = {{"mixer", "mamba2"},
               {"d_inner", c.d_inner()},
               {"n_heads", c.n_heads},
               {"head_dim", c.head_dim},
               {"n_groups", c.n_groups},
               {"d_state", c.d_state},
               {"d_conv", c.d_conv},
               {"gated_norm", c.gated_norm},
               {"norm_before_gate", c.norm_before_gate}};
  if (c.dt_min > 0) json["dt_min"] = as_written(c.dt_min);
  if (std::isfinite(c.dt_max)) json["dt_max"] = as_written(c.dt_max);
  return json;
}

Json layer_json(const LayerConfig& layer) {
  return std::visit([](const auto& c) { return mixer_json(c); }, layer);
}

Json tokenizer_json(const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return nullptr;
  return {{"kind", tokenizer->kind()}, {"vocab_size", tokenizer->vocab_size()}};
}

Json to_json(const ModelFiles& files, const DeviceInfo& device) {
  const ModelConfig& config = files.config;
  const Stored stored = count_tensors(*files.checkpoint);
  Json layers = Json::array();
  for (const LayerConfig& layer : config.layers) layers.push_back(layer_json(layer));
  return {{"model", files.name},
          {"path", files.path},
          {"container", files.checkpoint->container()},
          {"files", stored.files},
          {"architecture", config.architecture},
          {"parameters", stored.parameters},
          {"bytes_by_dtype", stored.bytes_by_dtype},
          {"d_model", config.d_model},
          {"n_layer", config.layers.size()},
          {"vocab_size", config.vocab_size},
          {"embedding_rows", config.embedding_rows},
          {"norm_eps", as_written(config.norm_eps)},
          {"tied_head", config.tied_head},
          {"layers", std::move(layers)},
          {"state_bytes_per_sequence", state_layout(config).bytes_per_slot()},
          {"tokenizer", tokenizer_json(files.tokenizer.get())},
          {"eos_ids", files.special.eos},
          {"bos_id", files.special.bos < 0 ? Json(nullptr) : Json(files.special.bos)},
          {"machine",
           {{"device", device.name},
            {"detail", device.detail},
            {"isa", device.isa},
            {"threads", device.threads}}}};
}

std::string size_text(int64_t bytes) {
  const double b = static_cast<double>(bytes);
  if (b < 1e6) return fmt::format("{:.1f} kB", b / 1e3);
  return b < 1e9 ? fmt::format("{:.1f} MB", b / 1e6) : fmt::format("{:.2f} GB", b / 1e9);
}

// "layers 0-23", "mamba1: d_inner 1536, ...": one entry for each run of equal layers.
std::vector<std::pair<std::string, std::string>> layer_runs(const Json& layers) {
  std::vector<std::pair<std::string, std::string>> runs;
  for (size_t first = 0, next = 0; first < layers.size(); first = next) {
    while (next < layers.size() && layers[next] == layers[first]) ++next;
    std::string text;
    for (const auto& [key, value] : layers[first].items())
      text += key == "mixer" ? value.get<std::string>() : fmt::format(", {} {}", key, value.dump());
    runs.emplace_back(next - first == 1 ? fmt::format("layer {}", first)
                                        : fmt::format("layers {}-{}", first, next - 1),
                      text);
  }
  return runs;
}

std::string token_list(const ModelFiles& files, const std::vector<int32_t>& ids) {
  std::vector<std::string> items;
  for (const int32_t id : ids) {
    items.push_back(std::to_string(id));
    if (files.tokenizer && !files.tokenizer->token_text(id).empty())
      items.back() += " " + escaped(files.tokenizer->token_text(id));
  }
  return items.empty() ? "none" : fmt::format("{}", fmt::join(items, ", "));
}

std::string to_text(const ModelFiles& files, const Json& info, const DeviceInfo& device) {
  std::string out;
  const auto line = [&](const std::string& key, const std::string& value) {
    out += fmt::format("{:<14}{}\n", key, value);
  };
  const auto number = [&](const char* key) { return info[key].dump(); };
  line("model", files.name);
  line("path", files.path);
  line("container", fmt::format("{}, {} file{}", info["container"].get<std::string>(),
                                info["files"].size(), info["files"].size() == 1 ? "" : "s"));
  line("architecture", files.config.architecture);
  line("parameters", number("parameters"));
  std::vector<std::string> sizes;
  for (const auto& [dtype, bytes] : info["bytes_by_dtype"].items())
    sizes.push_back(dtype + " " + size_text(bytes.get<int64_t>()));
  line("weights", fmt::format("{}", fmt::join(sizes, ", ")));
  line("vocab_size",
       fmt::format("{} ({} rows stored)", number("vocab_size"), number("embedding_rows")));
  line("d_model", number("d_model"));
  line("n_layer", number("n_layer"));
  for (const auto& [which, text] : layer_runs(info["layers"])) line(which, text);
  line("norm_eps", fmt::format("{:g}", files.config.norm_eps));
  line("head", files.config.tied_head ? "tied to the embedding" : "its own matrix");
  line("state",
       fmt::format("{} per sequence", size_text(info["state_bytes_per_sequence"].get<int64_t>())));
  line("tokenizer", files.tokenizer ? fmt::format("{}, {} tokens", files.tokenizer->kind(),
                                                  files.tokenizer->vocab_size())
                                    : "none");
  line("end of text", token_list(files, files.special.eos));
  line("begin of text", files.special.bos < 0 ? "none" : token_list(files, {files.special.bos}));
  line("device", device.name + ": " + machine_text(device));
  return out;
}

int run(const Flags& flags, Console& console) {
  OpenOptions open = flags.open;
  open.warn = log_warnings();
  const ModelFiles files = open_model_files(open);
  const DeviceInfo device = make_backend(open.backend)->info();
  const Json info = to_json(files, device);
  if (flags.output.json) {
    console.write_json(info);
  } else {
    console.write(to_text(files, info, device));
  }
  return kExitSuccess;
}

}  // namespace

Command add_info(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "info", "What a model is made of, and what this machine would run it on");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  add_model_flags(*app, flags->open);
  add_machine_flags(*app, flags->open);
  add_output_flags(*app, flags->output);
  return {app, [=](Console& console) {
            console.configure(flags->output);
            return run(*flags, console);
          }};
}

}  // namespace krait::cli
