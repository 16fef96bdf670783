// Every instruction set of this machine.
#include "src/backend/cpu/isa.h"
#include "tests/backend/support.h"

namespace krait::test {

std::vector<Device> devices() {
  std::vector<Device> list;
  for (const std::string& isa : available_isas()) {
    Device device;
    device.name = isa;
    device.make = [isa](int threads, DType act) { return cpu_backend(isa, threads, act); };
    device.int8_activations = true;
    list.push_back(std::move(device));
  }
  return list;
}

}  // namespace krait::test
