// The runtime of the twin: device memory is host memory, and all is done at once, but that kernels
// may be held until another follows (twin::Options::overlap) or something here depends on them.
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "kernels/cuda/twin/recording.h"
#include "kernels/cuda/twin/twin.h"
#include "krait/error.h"
#include "src/backend/cuda/runtime.h"

namespace krait::cuda {
namespace {

constexpr int64_t kMemory = int64_t{256} << 20;  // as if

using Clock = std::chrono::steady_clock;
constexpr std::align_val_t kAlignment{256};

std::byte* allocate(int64_t bytes) {
  return static_cast<std::byte*>(::operator new(static_cast<size_t>(bytes), kAlignment));
}
void release(std::byte* memory) noexcept { ::operator delete(memory, kAlignment); }
void move(const void* from, void* to, int64_t bytes) {
  twin::do_or_record([=] {
    twin::finish();
    if (bytes > 0) std::memmove(to, from, static_cast<size_t>(bytes));
  });
}

}  // namespace

struct EventHandle {
  Clock::time_point at;
};
struct GraphHandle {
  twin::Work work;
};

GpuList list_gpus() {
  return {.support = GpuSupport::available, .error = {}, .gpus = {{"twin on the host", 9, 0}}};
}
void use_device(int32_t device) { KRAIT_CHECK(device == 0); }
MemoryInfo memory_info() { return {kMemory, kMemory}; }
int32_t multiprocessors() { return 2; }

void ReleaseDevice::operator()(std::byte* memory) const noexcept {
  twin::finish();
  release(memory);
}
void ReleasePinned::operator()(std::byte* memory) const noexcept { release(memory); }
void ReleaseStream::operator()(StreamHandle*) const noexcept {}
void ReleaseEvent::operator()(EventHandle* event) const noexcept { delete event; }
void ReleaseGraph::operator()(GraphHandle* graph) const noexcept { delete graph; }

DeviceMemory allocate_device(int64_t bytes) {
  if (bytes > kMemory) return nullptr;
  DeviceMemory memory(allocate(bytes));
  std::memset(memory.get(), 0xff, static_cast<size_t>(bytes));  // NaN, so that it shows
  return memory;
}
PinnedMemory allocate_pinned(int64_t bytes) { return PinnedMemory(allocate(bytes)); }
OwnStream make_stream() { return nullptr; }
Event make_event() { return Event(new EventHandle); }

void copy_to_device(Stream, const void* host, void* device, int64_t bytes) {
  move(host, device, bytes);
}
void copy_to_host(Stream, const void* device, void* host, int64_t bytes) {
  move(device, host, bytes);
}
void copy_on_device(Stream, const void* from, void* to, int64_t bytes) { move(from, to, bytes); }
void fill_zeros(Stream, void* device, int64_t bytes) {
  twin::do_or_record([=] {
    twin::finish();
    if (bytes > 0) std::memset(device, 0, static_cast<size_t>(bytes));
  });
}
void record(Stream, const Event& event) {
  if (!twin::recording) twin::finish();
  event->at = Clock::now();
}

void wait(const Event&) { synchronize(nullptr); }
void synchronize(Stream) {
  KRAIT_CHECK(!twin::recording);
  twin::finish();
}
bool is_done(Stream) {
  twin::finish();
  return true;
}
double elapsed_ms(const Event& begin, const Event& end) {
  return std::chrono::duration<double, std::milli>(end->at - begin->at).count();
}

void begin_capture(Stream) { twin::recording = new twin::Work; }
Graph end_capture(Stream) {
  const std::unique_ptr<twin::Work> work(std::exchange(twin::recording, nullptr));
  if (twin::refuse_graphs) throw Failure("no graph");
  return Graph(new GraphHandle{std::move(*work)});
}
void launch(Stream, const Graph& graph) {
  for (const auto& work : graph->work) work();
}

}  // namespace krait::cuda
