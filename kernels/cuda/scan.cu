// Mamba-1 selective scan: the recurrence in time, parallel over channels and segments. Four lanes
// share a channel (lanes.h); a warp has eight channels side by side, a block 32.
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/scan_step.h"

namespace krait::cuda {
namespace {

constexpr int kScanThreads = 128;
constexpr int kChannels = kScanThreads / kScanParts;  // of a block
constexpr int kApart = kWarp / kScanParts;            // channels of a warp
constexpr int kMostStates = 16;                       // of a lane, in registers

// What a thread works at: a part of a channel's states, over one segment.
struct ScanLane {
  const Scan& scan;
  int64_t channel;
  int part, per_part;  // states of a part
  bool live;
  Segment segment;
  float* state = nullptr;  // the channel's, in its slot

  KRAIT_DEVICE ScanLane(const Scan& s, int channel_block)
      : scan(s),
        channel(static_cast<int64_t>(channel_block) * kChannels + warp_index() * kApart +
                lane_index() % kApart),
        part(lane_index() / kApart),
        per_part((s.d_state + kScanParts - 1) / kScanParts),
        live(channel < s.d_inner) {}

  KRAIT_DEVICE void enter(int segment_index) {
    segment = scan.segments.list[segment_index];
    state = scan.state.data + segment.slot * scan.state.slot_stride + channel;
  }
  // The number of this lane's i-th state, or -1 where it has none.
  KRAIT_DEVICE int state_index(int i) const {
    const int n = part * per_part + i;
    return live && i < per_part && n < scan.d_state ? n : -1;
  }
  KRAIT_DEVICE float of_channel(const float* values) const { return live ? values[channel] : 0.0f; }
  KRAIT_DEVICE float get(const Rows& rows, int token) const {
    return live ? rows.data[(segment.begin + token) * rows.stride + channel] : 0.0f;
  }
  KRAIT_DEVICE void put(int token, float value) const {
    if (live) scan.out.data[(segment.begin + token) * scan.out.stride + channel] = value;
  }
};

// The states of a lane in registers. Those it does not have are 0 and stay 0.
template <int kStates>
struct LaneStates {
  float rate[kStates], h[kStates];

  KRAIT_DEVICE void load_rates(const ScanLane& lane) {
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const int64_t n = lane.state_index(i);
      rate[i] = n >= 0 ? decay_rate(lane.scan.a[n * lane.scan.d_inner + lane.channel]) : 0.0f;
    }
  }
  KRAIT_DEVICE void load(const ScanLane& lane) {
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const int64_t n = lane.state_index(i);
      h[i] = n >= 0 ? lane.state[n * lane.scan.d_inner] : 0.0f;
    }
  }
  KRAIT_DEVICE void store(const ScanLane& lane) const {
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const int64_t n = lane.state_index(i);
      if (n >= 0) lane.state[n * lane.scan.d_inner] = h[i];
    }
  }
};

// Segments of one token each.
template <int kStates>
struct ScanOneToken {
  static constexpr int kThreads = kScanThreads;
  static constexpr int kMinBlocks = kStates <= 4 ? 8 : kStates <= 8 ? 6 : 4;
  Scan scan;
  int32_t channel_blocks;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    ScanLane lane(scan, block_x() % channel_blocks);
    LaneStates<kStates> states;
    states.load_rates(lane);
    const float bias = lane.of_channel(scan.dt_bias), d = lane.of_channel(scan.d);
    wait_for_predecessor();
    lane.enter(block_x() / channel_blocks);
    states.load(lane);
    const float* b = scan.b.data + lane.segment.begin * scan.b.stride;
    const float* c = scan.c.data + lane.segment.begin * scan.c.stride;
    const float x = lane.get(scan.x, 0), z = lane.get(scan.z, 0);
    const float dt = scan_dt(lane.get(scan.dt, 0), bias), dt_x = dt * x;
    float y = 0.0f;
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const int n = lane.state_index(i);
      scan_state(states.h[i], states.rate[i], dt, dt_x, n >= 0 ? b[n] : 0.0f, n >= 0 ? c[n] : 0.0f,
                 y);
    }
    states.store(lane);
    y = sum_parts<kScanParts, kApart>(y);
    sync_warp();  // all lanes have read x, dt and z, which may be where the result goes
    if (lane.part == 0) lane.put(0, scan_output(y, d, x, z));
  }
};

// Segments of any length, in tiles of tokens. A lane prepares and puts out every fourth token of a
// tile, so that softplus and SiLU are done once and stay out of the recurrence; what it needs of
// the next tile it asks for before the recurrence of this one.
template <int kStates>
struct ScanTiles {
  static constexpr int kThreads = kScanThreads;
  static constexpr int kMinBlocks = kStates <= 8 ? 4 : 3;
  static constexpr int kTile = 16;
  static constexpr int kOwn = kTile / kScanParts;
  using BC = Inputs<kScanParts, kStates, kTile, kThreads>;
  static constexpr size_t kSharedBytes = 2 * BC::kFloats * sizeof(float);
  Scan scan;
  int32_t channel_blocks;

  struct Fetched {
    float dt[kOwn], x[kOwn], z[kOwn];
    BC bc;
  };

  KRAIT_DEVICE void fetch(const ScanLane& lane, int first, Fetched& to) const {
    const int count = lane.segment.length - first;
    KRAIT_UNROLL
    for (int k = 0; k < kOwn; ++k) {
      const int i = k * kScanParts + lane.part;
      to.dt[k] = i < count ? lane.get(scan.dt, first + i) : 0.0f;
      to.x[k] = i < count ? lane.get(scan.x, first + i) : 0.0f;
      to.z[k] = i < count ? lane.get(scan.z, first + i) : 0.0f;
    }
    to.bc.fetch(scan.b, scan.c, lane.segment.begin + first, count, scan.d_state);
  }

  // The recurrence over a tile; y[i] is this part's sum for token i.
  KRAIT_DEVICE void recur(const ScanLane& lane, LaneStates<kStates>& states, const float* bc,
                          const float (&own_dt)[kOwn], const float (&own_dt_x)[kOwn], int count,
                          float (&y)[kTile]) const {
    KRAIT_UNROLL
    for (int i = 0; i < kTile; ++i) {
      y[i] = 0.0f;
      if (i >= count) continue;
      const int owner = i % kScanParts * kApart + lane_index() % kApart;
      const float dt = shuffle(own_dt[i / kScanParts], owner);
      const float dt_x = shuffle(own_dt_x[i / kScanParts], owner);
      KRAIT_UNROLL
      for (int f = 0; f < kStates / 4; ++f) {
        const Float4 b = BC::b(bc, i, lane.part, f), c = BC::c(bc, i, lane.part, f);
        float* h = states.h + 4 * f;
        const float* rate = states.rate + 4 * f;
        scan_state(h[0], rate[0], dt, dt_x, b.x, c.x, y[i]);
        scan_state(h[1], rate[1], dt, dt_x, b.y, c.y, y[i]);
        scan_state(h[2], rate[2], dt, dt_x, b.z, c.z, y[i]);
        scan_state(h[3], rate[3], dt, dt_x, b.w, c.w, y[i]);
      }
    }
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    ScanLane lane(scan, block_x() % channel_blocks);
    LaneStates<kStates> states;
    states.load_rates(lane);
    const float bias = lane.of_channel(scan.dt_bias), d = lane.of_channel(scan.d);
    wait_for_predecessor();
    lane.enter(block_x() / channel_blocks);
    const int length = lane.segment.length;
    states.load(lane);
    Fetched next;
    fetch(lane, 0, next);
    auto* shared = reinterpret_cast<float*>(shared_memory());
    for (int first = 0, tile = 0; first < length; first += kTile, ++tile) {
      const int count = length - first;
      // Two buffers: who writes this one has passed the barrier after all last read it.
      float* bc = shared + tile % 2 * BC::kFloats;
      float dt[kOwn], dt_x[kOwn], x[kOwn], z[kOwn], y[kTile];
      KRAIT_UNROLL
      for (int k = 0; k < kOwn; ++k) {
        x[k] = next.x[k];
        z[k] = next.z[k];
        dt[k] = scan_dt(next.dt[k], bias);
        dt_x[k] = dt[k] * x[k];
      }
      next.bc.put(bc);
      sync_block();
      fetch(lane, first + kTile, next);
      recur(lane, states, bc, dt, dt_x, count, y);
      scatter_sums<kScanParts, kApart>(y);
      KRAIT_UNROLL
      for (int k = 0; k < kOwn; ++k) {
        const int i = k * kScanParts + lane.part;
        if (i < count) lane.put(first + i, scan_output(y[k], d, x[k], z[k]));
      }
    }
    states.store(lane);
  }
};

// Any number of states, in the state plane.
struct ScanAnyStates {
  static constexpr int kThreads = kScanThreads;
  static constexpr int kMinBlocks = 4;
  Scan scan;
  int32_t channel_blocks;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    ScanLane lane(scan, block_x() % channel_blocks);
    const float bias = lane.of_channel(scan.dt_bias), d = lane.of_channel(scan.d);
    wait_for_predecessor();
    lane.enter(block_x() / channel_blocks);
    for (int t = 0; t < lane.segment.length; ++t) {
      const float* b = scan.b.data + (lane.segment.begin + t) * scan.b.stride;
      const float* c = scan.c.data + (lane.segment.begin + t) * scan.c.stride;
      const float x = lane.get(scan.x, t), z = lane.get(scan.z, t);
      const float dt = scan_dt(lane.get(scan.dt, t), bias), dt_x = dt * x;
      float y = 0.0f;
      for (int i = 0; i < lane.per_part; ++i) {
        const int64_t n = lane.state_index(i);
        if (n < 0) break;
        float* h = lane.state + n * scan.d_inner;
        const float rate = decay_rate(scan.a[n * scan.d_inner + lane.channel]);
        scan_state(*h, rate, dt, dt_x, b[n], c[n], y);
      }
      y = sum_parts<kScanParts, kApart>(y);
      sync_warp();  // as in ScanOneToken
      if (lane.part == 0) lane.put(t, scan_output(y, d, x, z));
    }
  }
};

template <int kStates>
void start_scan(Stream stream, const Shape& shape, const Scan& scan, int32_t blocks) noexcept {
  if (scan.segments.count == scan.segments.tokens) {
    launch(stream, shape, ScanOneToken<kStates>{scan, blocks});
    return;
  }
  Shape tiles = shape;
  tiles.shared_bytes = ScanTiles<kStates>::kSharedBytes;
  launch(stream, tiles, ScanTiles<kStates>{scan, blocks});
}

}  // namespace

void selective_scan(Stream stream, const Scan& scan) noexcept {
  if (scan.segments.count == 0) return;
  const int32_t blocks = ceil_div(scan.d_inner, kChannels);
  const Shape shape{static_cast<int64_t>(scan.segments.count) * blocks, 1, kScanThreads, 0};
  const int32_t per_part = ceil_div(scan.d_state, kScanParts);
  if (per_part <= 4) return start_scan<4>(stream, shape, scan, blocks);
  if (per_part <= 8) return start_scan<8>(stream, shape, scan, blocks);
  if (per_part <= kMostStates) return start_scan<kMostStates>(stream, shape, scan, blocks);
  launch(stream, shape, ScanAnyStates{scan, blocks});
}

}  // namespace krait::cuda
