#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "krait/model_list.h"
#include "src/cli/command.h"

namespace krait::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples =
    R"(Models that -m takes by name: those that come with krait, and those in the
Hugging Face cache (HF_HUB_CACHE, else HF_HOME/hub, else
~/.cache/huggingface/hub). Nothing is downloaded. An entry that cannot be opened
is listed with the reason. JSON is one array.

Examples:
  krait models
  krait models --json
  krait generate -m $(krait models --names | tail -1) -p "Once")";

struct Flags {
  OutputFlags output;
  bool names = false;
};

Json to_json(const ListedModel& model) {
  const bool known = model.problem.empty();
  const auto put = [&](const auto& value) { return known ? Json(value) : Json(nullptr); };
  return {{"name", model.name},
          {"source", model.source == ModelSource::bundled ? "bundled" : "hub"},
          {"architecture", put(model.architecture)},
          {"parameters", put(model.parameters)},
          {"dtype", put(model.dtype)},
          {"bytes_on_disk", put(model.bytes_on_disk)},
          {"path", model.path},
          {"problem", known ? Json(nullptr) : Json(model.problem)}};
}

// Names of folders may hold anything; a terminal should not.
std::string shown(const std::string& text) {
  const bool plain = std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  return plain ? text : escaped(text);
}

std::string to_text(const std::vector<ListedModel>& models) {
  size_t width = 4;
  for (const ListedModel& model : models) width = std::max(width, shown(model.name).size());
  std::string text = fmt::format("{:<{}}  {:<12}  {:>10}  {:<5}  {:>9}  {}\n", "name", width,
                                 "architecture", "parameters", "dtype", "on disk", "path");
  for (const ListedModel& model : models) {
    text += fmt::format("{:<{}}  ", shown(model.name), width);
    text += model.problem.empty()
                ? fmt::format("{:<12}  {:>10}  {:<5}  {:>9}  {}\n", model.architecture,
                              fmt::format("{:.2f} M", static_cast<double>(model.parameters) / 1e6),
                              model.dtype, size_text(model.bytes_on_disk), shown(model.path))
                : fmt::format("unusable: {}\n", shown(model.problem));
  }
  return text;
}

int run(const Flags& flags, Console& console) {
  if (flags.names) {
    std::string text;
    for (const std::string& name : model_names()) text += name + "\n";
    console.write(text);
    return kExitSuccess;
  }
  const std::vector<ListedModel> models = list_models();
  if (!flags.output.json) {
    console.write(to_text(models));
    return kExitSuccess;
  }
  Json list = Json::array();
  for (const ListedModel& model : models) list.push_back(to_json(model));
  console.write_json(list);
  return kExitSuccess;
}

}  // namespace

Command add_models(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("models", "List the models that can be named: bundled and cached");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  app->add_flag("--names", flags->names, "Only the names, one a line; no model is looked into")
      ->group("Output");
  add_output_flags(*app, flags->output);
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
