#include "src/backend/cpu/isa.h"

#include "krait/error.h"

namespace krait {
namespace {

struct Isa {
  const char* name;
  bool runs_here;
  const cpu::Kernels& (*kernels)() noexcept;
};

// Best first.
std::vector<Isa> all_isas() {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  const bool bf16 = vnni && __builtin_cpu_supports("avx512bf16");
  return {{"avx512bf16", bf16, cpu::kernels_avx512bf16},
          {"avx512vnni", vnni, cpu::kernels_avx512vnni},
          {"avx512", avx512, cpu::kernels_avx512},
          {"avx2", avx2, cpu::kernels_avx2},
          {"scalar", true, cpu::kernels_scalar}};
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : all_isas())
    if (isa.runs_here) names.push_back(isa.name);
  return names;
}

const cpu::Kernels& select_kernels(const std::string& name) {
  for (const Isa& isa : all_isas()) {
    if (name != isa.name && !(name == "auto" && isa.runs_here)) continue;
    if (isa.runs_here) return isa.kernels();
    throw InputError("--cpu-isa " + name + ": this processor cannot run it; it has " +
                     join(available_isas()));
  }
  throw InputError("--cpu-isa " + name +
                   ": expected auto, scalar, avx2, avx512, avx512vnni or avx512bf16");
}

}  // namespace krait
