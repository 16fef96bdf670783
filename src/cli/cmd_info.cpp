#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "src/cli/command.h"
#include "src/cli/model_info.h"

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

// "f32 1.2 MB, bf16 9.0 MB" from {"f32": 1200000, ...}
std::string sizes_text(const Json& bytes) {
  std::vector<std::string> sizes;
  for (const auto& [name, size] : bytes.items())
    sizes.push_back(name + " " + size_text(size.get<int64_t>()));
  return fmt::format("{}", fmt::join(sizes, ", "));
}

std::string files_text(const Json& files, const std::string& container) {
  constexpr size_t kShown = 3;
  std::vector<std::string> names;
  for (const Json& file : files)
    if (names.size() < kShown)
      names.push_back(std::filesystem::path(file.get<std::string>()).filename().string());
  const std::string more =
      files.size() > kShown ? fmt::format(" and {} more", files.size() - kShown) : "";
  return fmt::format("{}{} ({})", fmt::join(names, ", "), more, container);
}

// "0-8, 10" from the indices of `kind` among the layers.
std::string ranges_text(const Json& layers, const Json& kind) {
  std::vector<std::string> ranges;
  for (size_t first = 0, next = 0; first < layers.size(); first = next = next + 1) {
    while (next < layers.size() && layers[next] == kind) ++next;
    if (next - first == 1) ranges.push_back(std::to_string(first));
    if (next - first > 1) ranges.push_back(fmt::format("{}-{}", first, next - 1));
  }
  return fmt::format("{}", fmt::join(ranges, ", "));
}

// "mamba1 (layers 0-7): d_inner 512, d_state 16"
std::string mixer_text(const Json& layers, const Json& kind) {
  std::vector<std::string> settings;
  for (const auto& [key, value] : kind.items())
    if (key != "mixer") settings.push_back(key + " " + value.dump());
  return fmt::format("{} (layer{} {}): {}", kind["mixer"].get<std::string>(),
                     layers.size() == 1 ? "" : "s", ranges_text(layers, kind),
                     fmt::join(settings, ", "));
}

std::string token_text(const Json& token) {
  if (token.is_null()) return "none";
  const std::string id = token["id"].dump();
  return token["text"].is_null() ? id : id + " " + escaped(token["text"].get<std::string>());
}

std::string tokens_text(const Json& tokens) {
  std::vector<std::string> texts;
  for (const Json& token : tokens) texts.push_back(token_text(token));
  return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, ", "));
}

class Table {
 public:
  void line(std::string_view key, std::string_view value) {
    text_ += fmt::format("{:<15}{}\n", key, value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void describe_weights(const Json& info, Table& table) {
  const auto number = [&](const char* key) { return info[key].get<int64_t>(); };
  table.line("architecture", info["architecture"].get<std::string>());
  table.line("parameters", grouped(number("parameters")));
  const std::string size = size_text(number("weight_bytes"));
  table.line("weights", info["bytes_by_dtype"].size() == 1
                            ? size + " of " + info["dtype"].get<std::string>()
                            : size + ": " + sizes_text(info["bytes_by_dtype"]));
  table.line("d_model", info["d_model"].dump());
  table.line("n_layer", info["n_layer"].dump());
  std::vector<Json> kinds;
  for (const Json& layer : info["layers"])
    if (std::find(kinds.begin(), kinds.end(), layer) == kinds.end()) kinds.push_back(layer);
  for (const Json& kind : kinds) table.line("mixer", mixer_text(info["layers"], kind));
  table.line("norm_eps", info["norm_eps"].dump());
  const int64_t padding = number("embedding_rows") - number("vocab_size");
  table.line("vocab_size",
             padding > 0 ? fmt::format("{} and {} rows of padding", number("vocab_size"), padding)
                         : info["vocab_size"].dump());
  table.line("head", info["tied_head"].get<bool>() ? "tied to the embedding" : "its own matrix");
  table.line("state",
             fmt::format("{} per sequence: {}", size_text(number("state_bytes_per_sequence")),
                         sizes_text(info["state_bytes_by_plane"])));
}

void describe_text(const Json& info, Table& table) {
  const Json& tokenizer = info["tokenizer"];
  table.line("tokenizer", tokenizer.is_null()
                              ? "none"
                              : fmt::format("{}, {} tokens", tokenizer["kind"].get<std::string>(),
                                            tokenizer["vocab_size"].dump()));
  const Json& special = info["special_tokens"];
  table.line("bos", token_text(special["bos"]));
  table.line("eos", tokens_text(special["eos"]));
  table.line("pad", token_text(special["pad"]));
  table.line("unk", token_text(special["unk"]));
  const Json& chat = info["chat_template"];
  table.line("chat template",
             chat.is_null() ? "none" : fmt::format("{} bytes", chat.get<std::string>().size()));
}

std::string to_text(const Json& info, const DeviceInfo& device) {
  Table table;
  table.line("model", info["model"].get<std::string>());
  if (info["path"] != info["model"]) table.line("path", info["path"].get<std::string>());
  table.line("files", files_text(info["files"], info["container"].get<std::string>()));
  describe_weights(info, table);
  describe_text(info, table);
  table.line("device", device.name + ": " + machine_text(device));
  return table.take();
}

int run(const Flags& flags, Console& console) {
  OpenOptions open = flags.open;
  open.warn = log_warnings();
  open.backend.warn = open.warn;
  const ModelFiles files = open_model_files(open);
  const DeviceInfo device = make_backend(open.backend)->info();
  const Json info = model_info(files, device, open.warn);
  if (flags.output.json) {
    console.write_json(info);
  } else {
    console.write(to_text(info, device));
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
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
