#include "src/base/run_threads.h"

#include <atomic>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "krait/error.h"

namespace krait {
namespace {

enum class Gate { shut, open, given_up };

}  // namespace

void run_threads(int threads, const std::function<void(int thread)>& work) {
  std::vector<std::exception_ptr> thrown(static_cast<size_t>(threads));
  std::vector<std::thread> others;
  others.reserve(static_cast<size_t>(threads));
  std::atomic<Gate> gate = Gate::shut;
  const auto run = [&](int thread) noexcept {
    gate.wait(Gate::shut);
    if (gate == Gate::given_up) return;
    try {
      work(thread);
    } catch (...) {
      thrown[static_cast<size_t>(thread)] = std::current_exception();
    }
  };
  const auto end = [&](Gate state) {
    gate = state;
    gate.notify_all();
    if (state == Gate::open) run(0);
    for (std::thread& other : others) other.join();
  };
  try {
    for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  } catch (const std::system_error& error) {
    end(Gate::given_up);
    throw Failure("cannot start " + std::to_string(threads) + " threads: " + error.what());
  } catch (...) {
    end(Gate::given_up);
    throw;
  }
  end(Gate::open);
  for (const std::exception_ptr& exception : thrown)
    if (exception) std::rethrow_exception(exception);
}

}  // namespace krait
