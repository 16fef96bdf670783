// Launches: what a GPU would refuse, when their blocks start, and how they end.
#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/cuda/twin/machine.h"

namespace krait::cuda::twin {

constinit thread_local Machine* machine = nullptr;

namespace {

// The limits of all GPUs since sm_80 but that of shared memory, which is sm_90's.
constexpr int64_t kMostBlocksX = (int64_t{1} << 31) - 1, kMostBlocksY = 65535;
constexpr int kMostThreads = 1024;
constexpr size_t kMostSharedBytes = size_t{227} << 10;

// A thread that has not ended.
Thread* stuck(const Grid& grid) {
  for (const auto& block : grid.alive)
    for (Thread& t : block->threads)
      if (t.warp->state[t.place.thread % kWarp] != State::ended) return &t;
  return nullptr;
}

}  // namespace

void run(const Launch& launch) noexcept {
  thread_local Machine own;
  machine = &own;
  if (!has_error()) own.run(launch, options());
}

void finish() noexcept {
  if (machine) machine->finish();
}

bool Machine::accepts(const Launch& l) {
  std::string what;
  if (l.blocks_x < 1 || l.blocks_x > kMostBlocksX || l.blocks_y < 1 || l.blocks_y > kMostBlocksY)
    what = "a grid of " + std::to_string(l.blocks_x) + " x " + std::to_string(l.blocks_y) +
           " blocks: expected 1 to 2^31 - 1 and 1 to 65535";
  else if (l.threads < kWarp || l.threads % kWarp != 0 ||
           l.threads > std::min(l.most_threads, kMostThreads))
    what = "blocks of " + std::to_string(l.threads) +
           " threads: expected a multiple of 32, at most " +
           std::to_string(std::min(l.most_threads, kMostThreads));
  else if (l.shared_bytes > kMostSharedBytes)
    what = std::to_string(l.shared_bytes) + " bytes of shared memory: expected at most " +
           std::to_string(kMostSharedBytes);
  if (!what.empty()) report(describe(l, what));
  return what.empty();
}

void Machine::seed(const Options& options) {
  if (options_version_ != options_version()) {
    options_version_ = options_version();
    launches_ = 0;
  }
  random_ = (options.seed + launches_++ * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u | 1;
  for (int i = 0; i < 4; ++i) random();
  most_switches_ = std::max<uint64_t>(options.most_switches, 1);
  stay_ = (uint64_t{16} << random() % 3 * 2) - 1;
}

// Makes the threads of the first blocks ready.
std::unique_ptr<Grid> Machine::start(const Launch& launch, const Options& options) {
  auto grid = std::make_unique<Grid>();
  grid->launch = launch;
  grid->open = !options.overlap;
  if (options.overlap) {
    grid->kernel = launch.copy(launch.kernel);
    grid->launch.kernel = grid->kernel.get();
  }
  grid->blocks = launch.blocks_x * launch.blocks_y;
  const auto blocks = static_cast<uint64_t>(grid->blocks);
  grid->next_block = static_cast<int64_t>(random() % blocks);
  do {
    grid->stride = 1 + static_cast<int64_t>(random() % blocks);
  } while (std::gcd(grid->stride, grid->blocks) != 1);
  const auto alive = std::min<int64_t>(std::max(options.blocks_alive, 1), grid->blocks);
  for (int64_t i = 0; i < alive; ++i) {
    if (unused_.empty()) unused_.push_back(std::make_unique<Block>());
    grid->alive.push_back(std::move(unused_.back()));
    unused_.pop_back();
    grid->alive.back()->grid = grid.get();
    start_block(*grid->alive.back());
  }
  return grid;
}

void Machine::run(const Launch& launch, const Options& options) {
  if (!accepts(launch)) return;
  if (!options.overlap) finish();
  seed(options);
  auto grid = start(launch, options);
  if (!options.overlap) return run_to_end(std::move(grid));
  auto before = std::exchange(held_, nullptr);
  held_ = std::move(grid);
  if (run_ready() && before) run_to_end(std::move(before));
}

void Machine::finish() {
  if (held_) run_to_end(std::exchange(held_, nullptr));
}

// Lets threads run until none can go on. False after an error, which it reports.
bool Machine::run_ready() {
  if (!home_) home_ = std::make_unique<Fiber>();
  switches_ = 0;
  warp_ = nullptr;
  fiber_ = home_.get();
  if (Thread* first = pick()) go_to(first);
  running = nullptr;
  if (failure_) give_up();
  return !has_error();
}

void Machine::run_to_end(std::unique_ptr<Grid> grid) {
  grid->open = true;
  for (auto& block : grid->alive)
    for (Warp& w : block->warps)
      for (int lane = 0; lane < kWarp; ++lane)
        if (w.state[lane] == State::wait_for_predecessor) {
          w.state[lane] = State::runs;
          make_ready(w, 1u << lane);
        }
  if (!run_ready()) return;
  if (grid->ended != grid->blocks) {
    thread_ = stuck(*grid);
    failure_.emplace("no thread can go on");
    failure_site_ = {};
    return give_up();
  }
  for (auto& block : grid->alive) unused_.push_back(std::move(block));
}

// Reports the failure. Threads that wait are forgotten, with what is on their stacks.
void Machine::give_up() {
  const std::string message = describe(*thread_, failure_site_, *failure_);
  failure_.reset();
  free_.clear();
  for (auto& fiber : fibers_) {
    fiber->restart();
    free_.push_back(fiber.get());
  }
  ready_.clear();
  held_ = nullptr;
  report(message);
}

void Machine::start_block(Block& block) {
  Grid& grid = *block.grid;
  const Launch& launch = grid.launch;
  block.x = grid.next_block % launch.blocks_x;
  block.y = grid.next_block / launch.blocks_x;
  grid.next_block = (grid.next_block + grid.stride) % grid.blocks;
  ++grid.started;
  block.arrived = block.ended = 0;
  block.barriers.clear();
  block.shared.reset(launch.shared_bytes);
  block.threads.resize(static_cast<size_t>(launch.threads));
  block.warps.resize(static_cast<size_t>(launch.threads / kWarp));
  for (int i = 0; i < launch.threads; ++i) {
    Thread& t = block.threads[static_cast<size_t>(i)];
    t.place = {i,
               launch.threads,
               static_cast<int>(block.x),
               static_cast<int>(block.y),
               static_cast<int>(launch.blocks_x),
               static_cast<int>(launch.blocks_y),
               block.shared.data()};
    t.warp = &block.warps[static_cast<size_t>(i / kWarp)];
    t.fiber = nullptr;
    t.predecessor_waits = t.copy_groups = 0;
    t.copies.clear();
  }
  for (size_t i = 0; i < block.warps.size(); ++i) {
    block.warps[i].reset(&block, &block.threads[i * kWarp]);
    make_ready(block.warps[i], ~0u);
  }
}

void Warp::reset(Block* of, Thread* first) {
  block = of;
  lanes = first;
  ready = 0;
  ended = arrived = 0;
  std::fill(state, state + kWarp, State::runs);
}

}  // namespace krait::cuda::twin
