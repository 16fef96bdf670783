#include <cuda_runtime_api.h>

#include "krait/error.h"
#include "src/backend/cuda/runtime.h"

namespace krait::cuda {
namespace {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // seen now
  throw Failure(std::string("CUDA: ") + what + ": " + cudaGetErrorString(error) + " (" +
                cudaGetErrorName(error) + ")");
}
// Kernels are started without looking: what went wrong there waits in the runtime.
void check_launches() { check(cudaGetLastError(), "a kernel could not be started"); }

cudaStream_t native(Stream stream) noexcept { return reinterpret_cast<cudaStream_t>(stream); }
cudaEvent_t native(const Event& event) noexcept {
  return reinterpret_cast<cudaEvent_t>(event.get());
}

}  // namespace

GpuList list_gpus() {
  GpuList list;
  cudaDriverGetVersion(&list.driver);
  cudaRuntimeGetVersion(&list.needed);
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  list.support = GpuSupport::available;
  if (error == cudaErrorInsufficientDriver || list.driver == 0) {
    list.support = list.driver == 0 ? GpuSupport::no_driver : GpuSupport::old_driver;
  } else if (error != cudaSuccess && error != cudaErrorNoDevice) {
    list.support = GpuSupport::failed;
    list.error = cudaGetErrorString(error);
  }
  if (error != cudaSuccess) return list;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, i), "reading what a GPU is");
    list.gpus.push_back({properties.name, properties.major, properties.minor});
  }
  return list;
}

void use_device(int32_t device) { check(cudaSetDevice(device), "choosing the GPU"); }

MemoryInfo memory_info() {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  return {static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

int32_t multiprocessors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "asking for the GPU");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
        "asking for multiprocessors");
  return count;
}

void ReleaseDevice::operator()(std::byte* memory) const noexcept { cudaFree(memory); }
void ReleasePinned::operator()(std::byte* memory) const noexcept { cudaFreeHost(memory); }
void ReleaseStream::operator()(StreamHandle* stream) const noexcept {
  cudaStreamDestroy(native(stream));
}
void ReleaseEvent::operator()(EventHandle* event) const noexcept {
  cudaEventDestroy(reinterpret_cast<cudaEvent_t>(event));
}
void ReleaseGraph::operator()(GraphHandle* graph) const noexcept {
  cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(graph));
}

DeviceMemory allocate_device(int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(error, "taking memory of the GPU");
  return DeviceMemory(static_cast<std::byte*>(memory));
}

PinnedMemory allocate_pinned(int64_t bytes) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, static_cast<size_t>(bytes)), "taking host memory for copies");
  return PinnedMemory(static_cast<std::byte*>(memory));
}

OwnStream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return OwnStream(reinterpret_cast<StreamHandle*>(stream));
}

Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "making an event");
  return Event(reinterpret_cast<EventHandle*>(event));
}

void copy_to_device(Stream stream, const void* host, void* device, int64_t bytes) {
  check(cudaMemcpyAsync(device, host, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                        native(stream)),
        "copying to the GPU");
}
void copy_to_host(Stream stream, const void* device, void* host, int64_t bytes) {
  check(cudaMemcpyAsync(host, device, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost,
                        native(stream)),
        "copying from the GPU");
}
void copy_on_device(Stream stream, const void* from, void* to, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
                        native(stream)),
        "copying on the GPU");
}
void fill_zeros(Stream stream, void* device, int64_t bytes) {
  check(cudaMemsetAsync(device, 0, static_cast<size_t>(bytes), native(stream)),
        "clearing memory of the GPU");
}
void record(Stream stream, const Event& event) {
  check(cudaEventRecord(native(event), native(stream)), "recording an event");
}

void wait(const Event& event) {
  check_launches();
  check(cudaEventSynchronize(native(event)), "waiting for the GPU");
}
void synchronize(Stream stream) {
  check_launches();
  check(cudaStreamSynchronize(native(stream)), "waiting for the GPU");
}
bool is_done(Stream stream) {
  check_launches();
  const cudaError_t error = cudaStreamQuery(native(stream));
  if (error == cudaErrorNotReady) return false;
  check(error, "waiting for the GPU");
  return true;
}
double elapsed_ms(const Event& begin, const Event& end) {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, native(begin), native(end)), "reading the time of events");
  return ms;
}

void begin_capture(Stream stream) {
  check(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal),
        "beginning a graph");
}
Graph end_capture(Stream stream) {
  cudaGraph_t graph = nullptr;
  const cudaError_t started = cudaGetLastError();
  const cudaError_t ended = cudaStreamEndCapture(native(stream), &graph);
  cudaGraphExec_t executable = nullptr;
  const cudaError_t error =
      graph ? cudaGraphInstantiate(&executable, graph, 0) : cudaErrorStreamCaptureInvalidated;
  if (graph) cudaGraphDestroy(graph);
  Graph result(reinterpret_cast<GraphHandle*>(executable));
  check(started, "a kernel could not be started");
  check(ended, "ending a graph");
  check(error, "making a graph");
  return result;
}
void launch(Stream stream, const Graph& graph) {
  check(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(graph.get()), native(stream)),
        "starting a graph");
}

}  // namespace krait::cuda
