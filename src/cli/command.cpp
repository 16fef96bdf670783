#include "src/cli/command.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

namespace krait::cli {

Warn log_warnings() {
  return [](const std::string& text) { spdlog::warn("{}", text); };
}

std::string machine_text(const DeviceInfo& device) {
  if (device.threads == 0) return fmt::format("{}, {}", device.detail, device.isa);
  return fmt::format("{}, {}, {} thread{}", device.detail, device.isa, device.threads,
                     device.threads == 1 ? "" : "s");
}

std::string size_text(int64_t bytes) {
  const double b = static_cast<double>(bytes);
  if (b < 1e6) return fmt::format("{:.1f} kB", b / 1e3);
  return b < 1e9 ? fmt::format("{:.1f} MB", b / 1e6) : fmt::format("{:.2f} GB", b / 1e9);
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string rounded_activations(Engine& engine) {
  const DType act = engine.backend().info().act;
  const bool rounded = act != DType::f32 && engine.model().weight_dtype() == DType::bf16;
  return rounded ? std::string(dtype_name(act)) : "";
}

std::unique_ptr<Engine> open_engine(OpenOptions open) {
  open.warn = log_warnings();
  auto engine = [&] {
    const Console::NothingToKeep loading;
    return Engine::open(open);
  }();
  const DeviceInfo device = engine->backend().info();
  const std::string act = rounded_activations(*engine);
  spdlog::info("model {}, weights {}{}, {} ({}), loaded in {:.0f} ms", engine->name(),
               dtype_name(engine->model().weight_dtype()),
               act.empty() ? "" : ", activations " + act, device.name, machine_text(device),
               engine->load_ms());
  if (!device.note.empty()) spdlog::info("{}", device.note);
  return engine;
}

std::vector<int32_t> prompt_ids(const Engine& engine, const Prompt& prompt) {
  std::vector<int32_t> ids = prompt.ids ? *prompt.ids : engine.encode_prompt(prompt.text);
  spdlog::debug("prompt ids {}", fmt::join(ids, ","));
  return ids;
}

std::vector<int32_t> continuation_ids(const Engine& engine, const Prompt& prompt) {
  std::vector<int32_t> ids = prompt.ids ? *prompt.ids : engine.encode_continuation(prompt.text);
  spdlog::debug("prompt ids {}", fmt::join(ids, ","));
  return ids;
}

}  // namespace krait::cli
