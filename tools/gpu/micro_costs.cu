// What a GPU charges for the things that decoding is made of: reading weights, waiting for other
// blocks, starting kernels. Prints one JSON object; times are medians, in microseconds.
//
//   gpu_micro_costs [DEVICE]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <cuda_runtime.h>

#include "tools/gpu/micro_kernels.cuh"

namespace {

constexpr int kRepetitions = 9;
constexpr int kThreads = 256;

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "gpu_micro_costs: %s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}
#define CHECK(call) check(call, #call)

// ---- time -------------------------------------------------------------------------------------
cudaStream_t g_stream;

// Median time of `work` on the stream, in microseconds, after one run that is not counted.
double median_us(const std::function<void()>& work) {
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  std::vector<double> times;
  for (int i = 0; i <= kRepetitions; ++i) {
    CHECK(cudaEventRecord(begin, g_stream));
    work();
    CHECK(cudaGetLastError());
    CHECK(cudaEventRecord(end, g_stream));
    CHECK(cudaEventSynchronize(end));
    float ms = 0;
    CHECK(cudaEventElapsedTime(&ms, begin, end));
    if (i > 0) times.push_back(ms * 1e3);
  }
  CHECK(cudaEventDestroy(begin));
  CHECK(cudaEventDestroy(end));
  std::nth_element(times.begin(), times.begin() + kRepetitions / 2, times.end());
  return times[kRepetitions / 2];
}

// The cost of one of many: what `more` take longer than `few`, so that the start does not count.
double cost_us(int few, int more, const std::function<void(int)>& work) {
  const double first = median_us([&] { work(few); });
  return (median_us([&] { work(more); }) - first) / (more - few);
}

// ---- measurements -------------------------------------------------------------------------------
struct Machine {
  cudaDeviceProp properties{};
  int blocks = 0;  // multiprocessors
  uint32_t* sink = nullptr;
  bool hopper = false;  // clusters, bulk copies and overlapping kernels, here and in the program
};

void launch(void (*kernel)(uint32_t*), const Machine& m, bool overlap) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(m.blocks));
  config.blockDim = dim3(kThreads);
  config.stream = g_stream;
  config.attrs = &attribute;
  config.numAttrs = overlap ? 1 : 0;
  CHECK(cudaLaunchKernelEx(&config, kernel, m.sink));
}

// Microseconds per node of a chain of empty kernels in a graph.
double graph_node_us(void (*kernel)(uint32_t*), const Machine& m, bool overlap) {
  constexpr int kFew = 20, kMore = 220;
  double times[2];
  for (const int count : {kFew, kMore}) {
    CHECK(cudaStreamBeginCapture(g_stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < count; ++i) launch(kernel, m, overlap);
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CHECK(cudaStreamEndCapture(g_stream, &graph));
    CHECK(cudaGraphInstantiate(&executable, graph, 0));
    times[count == kMore] = median_us([&] { CHECK(cudaGraphLaunch(executable, g_stream)); });
    CHECK(cudaGraphExecDestroy(executable));
    CHECK(cudaGraphDestroy(graph));
  }
  return (times[1] - times[0]) / (kMore - kFew);
}

double grid_barrier_us(const Machine& m) {
  return cost_us(200, 2200, [&](int count) {
    void* arguments[] = {&count};
    CHECK(cudaLaunchCooperativeKernel(grid_barriers, dim3(static_cast<unsigned>(m.blocks)),
                                      dim3(kThreads), arguments, 0, g_stream));
  });
}

double counter_barrier_us(const Machine& m) {
  return cost_us(200, 2200, [&](int count) {
    uint32_t* counter = m.sink + 1024;
    CHECK(cudaMemsetAsync(counter, 0, 4, g_stream));
    void* arguments[] = {&counter, &count};
    CHECK(cudaLaunchCooperativeKernel(counter_barriers, dim3(static_cast<unsigned>(m.blocks)),
                                      dim3(kThreads), arguments, 0, g_stream));
  });
}

double cluster_barrier_us(int size) {
  return cost_us(200, 2200, [&](int count) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {static_cast<unsigned>(size), 1, 1};
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(8 * size));
    config.blockDim = dim3(kThreads);
    config.stream = g_stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    CHECK(cudaLaunchKernelEx(&config, cluster_barriers, count));
  });
}

// A kernel, a word back to the host, and waiting for it: the least a token costs where the host
// has a say in it.
double round_trip_us(const Machine& m) {
  uint32_t* word = nullptr;
  CHECK(cudaMallocHost(&word, 4));
  constexpr int kTrips = 50;
  const double us = median_us([&] {
    for (int i = 0; i < kTrips; ++i) {
      launch(step, m, false);
      CHECK(cudaMemcpyAsync(word, m.sink, 4, cudaMemcpyDeviceToHost, g_stream));
      CHECK(cudaStreamSynchronize(g_stream));
    }
  });
  CHECK(cudaFreeHost(word));
  return us / kTrips;
}

class Object {  // of JSON
 public:
  void add(const std::string& key, const std::string& value) {
    text_ += (text_.empty() ? "\"" : ",\n \"") + key + "\": " + value;
  }
  void add(const std::string& key, double value, bool known = true) {
    char number[32];
    std::snprintf(number, sizeof number, "%.4g", value);
    add(key, std::string(known ? number : "null"));
  }
  std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

struct Best {
  double gb_s = 0;
  std::string list;
  void add(const std::string& item, double value) {
    char text[160];
    std::snprintf(text, sizeof text, "%s{%s, \"gb_s\": %.1f}", list.empty() ? "" : ",\n  ",
                  item.c_str(), value);
    list += text;
    gb_s = std::max(gb_s, value);
  }
};

void measure_plain(const Machine& m, const uint4* data, size_t bytes, Best& best) {
  for (const int threads : {256, 512, 1024})
    for (const int per_multiprocessor : {1, 2, 4}) {
      if (threads * per_multiprocessor > m.properties.maxThreadsPerMultiProcessor) continue;
      const int blocks = m.blocks * per_multiprocessor;
      const double us = median_us(
          [&] { read_plain<8><<<blocks, threads, 0, g_stream>>>(data, bytes / 16, m.sink); });
      best.add("\"threads\": " + std::to_string(threads) +
                   ", \"blocks_per_sm\": " + std::to_string(per_multiprocessor),
               static_cast<double>(bytes) / us * 1e-3);
    }
}

void measure_bulk(const Machine& m, const void* data, size_t bytes, Best& best) {
  constexpr struct Ring {
    int slots, kib;
  } kRings[] = {{4, 8}, {8, 8}, {16, 8}, {24, 8}, {4, 16}, {8, 16}, {12, 16}, {6, 32}};
  for (const Ring& ring : kRings) {
    const int slots = ring.slots, kib = ring.kib;
    const uint32_t piece = static_cast<uint32_t>(kib) << 10;
    const size_t shared = size_t{piece} * static_cast<size_t>(slots);
    if (shared + 2048 > m.properties.sharedMemPerBlockOptin) continue;
    CHECK(cudaFuncSetAttribute(read_bulk, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)));
    const double us = median_us([&] {
      read_bulk<<<m.blocks, kThreads + 32, shared, g_stream>>>(static_cast<const char*>(data),
                                                               bytes / piece, piece, slots, m.sink);
    });
    best.add("\"slots\": " + std::to_string(slots) + ", \"slot_kib\": " + std::to_string(kib),
             static_cast<double>(bytes) / us * 1e-3);
  }
}

void measure_reading(const Machine& m, Object& out) {
  size_t free = 0, total = 0;
  CHECK(cudaMemGetInfo(&free, &total));
  const size_t unit = size_t{96} << 20;
  const size_t bytes = std::max<size_t>(std::min(size_t{4} << 30, free / 4) / unit, 1) * unit;
  const size_t slack = size_t{1} << 20;  // a block of read_plain may read 128 KiB beyond the end
  void* data = nullptr;
  CHECK(cudaMalloc(&data, bytes + slack));
  fill<<<m.blocks * 4, kThreads, 0, g_stream>>>(static_cast<uint4*>(data), (bytes + slack) / 16);
  CHECK(cudaStreamSynchronize(g_stream));
  Best plain, bulk;
  measure_plain(m, static_cast<const uint4*>(data), bytes, plain);
  if (m.hopper) measure_bulk(m, data, bytes, bulk);
  CHECK(cudaFree(data));
  out.add("read_bytes", static_cast<double>(bytes));
  out.add("read_plain_gb_s", plain.gb_s);
  out.add("read_bulk_gb_s", bulk.gb_s, m.hopper);
  out.add("read_plain", "[" + plain.list + "]");
  out.add("read_bulk", "[" + bulk.list + "]");
}

}  // namespace

int main(int argc, char** argv) {
  const int device = argc > 1 ? std::atoi(argv[1]) : 0;
  Machine m;
  CHECK(cudaSetDevice(device));
  CHECK(cudaGetDeviceProperties(&m.properties, device));
  CHECK(cudaStreamCreateWithFlags(&g_stream, cudaStreamNonBlocking));
  CHECK(cudaMalloc(&m.sink, 8192));
  CHECK(cudaMemset(m.sink, 0, 8192));
  m.blocks = m.properties.multiProcessorCount;
  cudaFuncAttributes bulk{};
  CHECK(cudaFuncGetAttributes(&bulk, read_bulk));
  m.hopper = m.properties.major >= 9 && bulk.ptxVersion >= 90;

  Object out;
  out.add("device", "\"" + std::string(m.properties.name) + "\"");
  out.add("multiprocessors", m.blocks);
  out.add("l2_bytes", m.properties.l2CacheSize);
  measure_reading(m, out);
  out.add("grid_barrier_us", grid_barrier_us(m));
  out.add("counter_barrier_us", counter_barrier_us(m));
  for (const int size : {4, 8})
    out.add("cluster_barrier_" + std::to_string(size) + "_us",
            m.hopper ? cluster_barrier_us(size) : 0, m.hopper);
  out.add("stream_kernel_us", cost_us(100, 1100, [&](int count) {
            for (int i = 0; i < count; ++i) launch(step, m, false);
          }));
  out.add("graph_node_us", graph_node_us(step, m, false));
  out.add("graph_node_overlapped_us", m.hopper ? graph_node_us(overlapped_step, m, true) : 0,
          m.hopper);
  out.add("round_trip_us", round_trip_us(m));
  std::printf("%s\n", out.text().c_str());
  return 0;
}
