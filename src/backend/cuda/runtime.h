// What the backend needs of the CUDA runtime, and no more: runtime_cuda.cpp calls CUDA,
// runtime_twin.cpp does the same in host memory for the twin of the kernels.
//
// Everything acts on the device that this thread chose with use_device(). Copies and fills are
// queued on the stream. Errors, also those of kernels started earlier, are thrown as Failure in
// CUDA's words by whatever call meets them first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/stream.h"
#include "src/backend/cuda/gpu_list.h"

namespace krait::cuda {

void use_device(int32_t device);  // of list_gpus()

struct MemoryInfo {
  int64_t free_bytes = 0, total_bytes = 0;
};
MemoryInfo memory_info();
int32_t multiprocessors();

// ---- owned by handle ------------------------------------------------------------------------
struct ReleaseDevice {
  void operator()(std::byte* memory) const noexcept;
};
struct ReleasePinned {
  void operator()(std::byte* memory) const noexcept;
};
struct ReleaseStream {
  void operator()(struct StreamHandle* stream) const noexcept;
};
struct ReleaseEvent {
  void operator()(struct EventHandle* event) const noexcept;
};
struct ReleaseGraph {
  void operator()(struct GraphHandle* graph) const noexcept;
};
using DeviceMemory = std::unique_ptr<std::byte, ReleaseDevice>;
using PinnedMemory = std::unique_ptr<std::byte, ReleasePinned>;
using OwnStream = std::unique_ptr<struct StreamHandle, ReleaseStream>;
using Event = std::unique_ptr<struct EventHandle, ReleaseEvent>;
using Graph = std::unique_ptr<struct GraphHandle, ReleaseGraph>;

// 256-byte aligned, not initialised; null when there is not enough.
DeviceMemory allocate_device(int64_t bytes);
// Host memory that copies to and from the device run from in the background.
PinnedMemory allocate_pinned(int64_t bytes);
OwnStream make_stream();
Event make_event();

// ---- queued on a stream ---------------------------------------------------------------------
// The host memory may be used again at once where it is not pinned, else when the copy is done.
void copy_to_device(Stream stream, const void* host, void* device, int64_t bytes);
void copy_to_host(Stream stream, const void* device, void* host, int64_t bytes);
void copy_on_device(Stream stream, const void* from, void* to, int64_t bytes);
void fill_zeros(Stream stream, void* device, int64_t bytes);
void record(Stream stream, const Event& event);

// ---- waiting --------------------------------------------------------------------------------
void wait(const Event& event);
void synchronize(Stream stream);
bool is_done(Stream stream);                              // all that was queued
double elapsed_ms(const Event& begin, const Event& end);  // both are done

// ---- graphs ---------------------------------------------------------------------------------
// What is queued between begin_capture() and end_capture() is kept instead of run, and run by every
// launch().
void begin_capture(Stream stream);
Graph end_capture(Stream stream);
void launch(Stream stream, const Graph& graph);

}  // namespace krait::cuda
