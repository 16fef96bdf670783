// Options and errors of the twin.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "kernels/cuda/twin/machine.h"

namespace krait::cuda::twin {

namespace {

std::mutex mutex;  // of the next two
Options current;
std::string first_error;
std::atomic<bool> failed = false;
std::atomic<uint64_t> version = 0;

// From "... [with Kernel = krait::cuda::Scale]", or "...Scale; int64_t = long]".
std::string kernel_name(const char* signature) {
  std::string name = signature;
  const auto at = name.find("Kernel = ");
  if (at != std::string::npos) name = name.substr(at + 9);
  name = name.substr(0, name.find(';'));
  if (!name.empty() && name.back() == ']') name.pop_back();
  return name;
}

std::string text_of(Site site) {
  const std::string file = site.file;
  return file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(site.line);
}

std::string doing(const Thread& thread) {
  const State state = thread.warp->state[thread.place.thread % kWarp];
  if (state == State::runs) return "can go on";
  if (state == State::ended) return "ended";
  return std::string("at ") + name_of(state) + "(), " + text_of(thread.site);
}

// A line for everything that threads do, with those that do it: "0-3, 7: at sync_warp(), x.cu:20".
std::string what_all_do(const Block& block) {
  std::vector<std::pair<std::string, std::string>> lines;  // what, who
  const int count = static_cast<int>(block.threads.size());
  const auto of = [&](int i) { return doing(block.threads[static_cast<size_t>(i)]); };
  for (int first = 0, last; first < count; first = last + 1) {
    const std::string what = of(first);
    last = first;
    while (last + 1 < count && of(last + 1) == what) ++last;
    auto line = std::find_if(lines.begin(), lines.end(), [&](auto& l) { return l.first == what; });
    if (line == lines.end()) line = lines.insert(line, {what, ""});
    line->second += (line->second.empty() ? "" : ", ") + std::to_string(first);
    if (last > first) line->second += "-" + std::to_string(last);
  }
  std::string text;
  for (const auto& [what, who] : lines) text += "\n  " + who + ": " + what;
  return text;
}

}  // namespace

void set_options(const Options& options) {
  const std::lock_guard lock(mutex);
  current = options;
  ++version;
}

Options options() {
  const std::lock_guard lock(mutex);
  return current;
}

uint64_t options_version() { return version; }

std::string take_error() {
  const std::lock_guard lock(mutex);
  failed = false;
  return std::exchange(first_error, {});
}

bool has_error() { return failed; }

void report(const std::string& message) {
  const std::lock_guard lock(mutex);
  if (!current.keep_errors) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::abort();
  }
  if (!failed) first_error = message;
  failed = true;
}

const char* name_of(State state) {
  switch (state) {
    case State::runs: return "";
    case State::sync_block: return "sync_block";
    case State::sync_warp: return "sync_warp";
    case State::shuffle_xor: return "shuffle_xor";
    case State::shuffle: return "shuffle";
    case State::mma_bf16: return "mma_bf16";
    case State::load_matrices: return "load_matrices";
    case State::wait_for_predecessor: return "wait_for_predecessor";
    case State::barrier_wait: return "barrier_wait";
    case State::ended: return "";
  }
  return "";
}

std::string describe(const Launch& launch, const std::string& what) {
  return "kernel " + kernel_name(launch.name) + ": " + what;
}

std::string describe(const Thread& thread, Site site, const std::string& what) {
  std::string text = "kernel " + kernel_name(thread.warp->block->grid->launch.name) + ", block (" +
                     std::to_string(thread.place.block_x) + ", " +
                     std::to_string(thread.place.block_y) + "), thread " +
                     std::to_string(thread.place.thread);
  if (site.line > 0) text += ", at " + text_of(site);
  return text + ": " + what + what_all_do(*thread.warp->block);
}

}  // namespace krait::cuda::twin
