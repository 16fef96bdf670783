#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "krait/error.h"
#include "krait/quantize.h"
#include "src/cli/command.h"

namespace krait::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples =
    R"(MODEL is any model that krait opens: a folder, a .safetensors, .bin or .gguf file, a
Hugging Face id in the local cache, or a bundled model. The file runs in krait and
in llama.cpp. It gets its name only when it is complete. What GGUF cannot say of a
model is refused by name.

Matrices that cannot have the type, or would lose too much, get a finer one; norms,
convolutions and the parameters of the state space stay f32.

Examples:
  krait quantize tales tales.gguf --type q8_0
  krait quantize ./my-model my-model-q4.gguf --type q4_k
  krait quantize model.gguf smaller.gguf --type q6_k)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  std::string out;
  QuantizeOptions options;
};

double bits_per_weight(int64_t bytes, int64_t parameters) {
  return static_cast<double>(bytes) * 8 / static_cast<double>(std::max<int64_t>(parameters, 1));
}

Json to_json(const Flags& flags, const QuantizeResult& result) {
  return {{"model", flags.open.model},
          {"out", flags.out},
          {"type", dtype_name(flags.options.type)},
          {"tensors", result.tensors},
          {"parameters", result.parameters},
          {"bytes_before", result.bytes_before},
          {"bytes_after", result.bytes_after},
          {"bits_per_weight", bits_per_weight(result.bytes_after, result.parameters)},
          {"bytes_by_dtype", result.bytes_by_dtype}};
}

std::string to_text(const Flags& flags, const QuantizeResult& result) {
  const auto megabytes = [](int64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  return fmt::format("{}: {:.1f} MB of weights from {:.1f} MB, {:.2f} bits per weight", flags.out,
                     megabytes(result.bytes_after), megabytes(result.bytes_before),
                     bits_per_weight(result.bytes_after, result.parameters));
}

int run(const Flags& given, Console& console) {
  Flags flags = given;
  flags.open.warn = log_warnings();
  flags.options.interrupt = &Console::interrupted();
  int64_t shown = -1;
  flags.options.on_progress = [&](int64_t done, int64_t total) {
    const int64_t percent = done * 100 / std::max<int64_t>(total, 1);
    if (percent != std::exchange(shown, percent))
      console.progress(fmt::format("{} {}%", flags.out, percent));
  };
  std::optional<QuantizeResult> result;
  try {
    result = quantize(flags.open, flags.out, flags.options);
  } catch (...) {
    console.progress("");
    throw;
  }
  console.progress("");
  if (!result) return kExitInterrupted;
  console.note(to_text(flags, *result));
  if (flags.output.json) console.write_json(to_json(flags, *result));
  return kExitSuccess;
}

}  // namespace

Command add_quantize(CLI::App& program) {
  CLI::App* app = program.add_subcommand("quantize", "Write a model as a GGUF file, made smaller");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  add_text(*app, "MODEL", "", "The model to convert", [=](const std::string& text) {
    flags->open.model = text;
  })->required();
  add_text(*app, "OUT.gguf", "", "The file to write", [=](const std::string& text) {
    flags->out = text;
  })->required();
  add_choice(*app, "--type", {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k"},
             "Type of the matrices",
             [=](const std::string& word) { flags->options.type = *parse_dtype(word); })
      ->required()
      ->group("Model and machine");
  add_tokenizer_flag(*app, flags->open);
  add_threads_flag(*app, flags->open);
  add_output_flags(*app, flags->output);
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
