// Mamba-2 scan: the recurrence in time, parallel over heads, their channels and segments. Eight
// lanes share a pair of channels (lanes.h), so that what is read of B and C serves two; a warp has
// four pairs side by side, a block 32 channels of one head.
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/scan_step.h"

namespace krait::cuda {
namespace {

constexpr int kSsdThreads = 128;
constexpr int kApart = kWarp / kSsdParts;               // pairs of channels of a warp
constexpr int kChannels = 2 * kSsdThreads / kSsdParts;  // of a block
constexpr int kMostStates = 32;                         // of a lane and channel, in registers

// What a thread works at: a part of the states of two channels of a head, over one segment.
struct SsdLane {
  const Ssd& ssd;
  int head, in_block, channel;  // the first of the pair: in the block, in the head
  int part, per_part;           // states of a part
  int live;                     // channels that there are: 0 to 2
  float rate, dt_bias;
  Float2 d;
  Rows b, c;  // of the head's group
  Segment segment;
  float* state = nullptr;  // the head's, in its slot, from the first channel on

  KRAIT_DEVICE SsdLane(const Ssd& s, int block, int blocks_per_head)
      : ssd(s),
        head(block / blocks_per_head % s.n_heads),
        in_block(2 * (warp_index() * kApart + lane_index() % kApart)),
        channel(block % blocks_per_head * kChannels + in_block),
        part(lane_index() / kApart),
        per_part((s.d_state + kSsdParts - 1) / kSsdParts),
        live(static_cast<int>(at_most(2, s.head_dim - channel))),
        rate(decay_rate(s.a[head])),
        dt_bias(s.dt_bias[head]),
        d(pair(s.d + first_channel())),
        b(s.b),
        c(s.c) {
    const int64_t group = head / (s.n_heads / s.n_groups);
    b.data += group * s.d_state;
    c.data += group * s.d_state;
  }

  KRAIT_DEVICE int64_t first_channel() const {
    return static_cast<int64_t>(head) * ssd.head_dim + channel;
  }
  KRAIT_DEVICE void enter(int segment_index) {
    segment = ssd.segments.list[segment_index];
    state = ssd.state.data + segment.slot * ssd.state.slot_stride +
            static_cast<int64_t>(head) * ssd.d_state * ssd.head_dim + channel;
  }
  // The number of this lane's i-th state, or -1 where it has none.
  KRAIT_DEVICE int state_index(int i) const {
    const int n = part * per_part + i;
    return i < per_part && n < ssd.d_state ? n : -1;
  }
  KRAIT_DEVICE Float2 pair(const float* from) const {
    return {live > 0 ? from[0] : 0.0f, live > 1 ? from[1] : 0.0f};
  }
  KRAIT_DEVICE void put_pair(float* to, Float2 v) const {
    if (live > 0) to[0] = v.x;
    if (live > 1) to[1] = v.y;
  }
  KRAIT_DEVICE const float* x_of(int token) const {
    return ssd.x.data + (segment.begin + token) * ssd.x.stride + first_channel();
  }
  KRAIT_DEVICE float raw_dt(int token) const {
    return ssd.dt.data[(segment.begin + token) * ssd.dt.stride + head];
  }
  KRAIT_DEVICE float dt(float raw) const { return ssd_dt(raw, dt_bias, ssd.dt_min, ssd.dt_max); }
  KRAIT_DEVICE void put(int token, Float2 y, Float2 x) const {
    put_pair(ssd.out.data + (segment.begin + token) * ssd.out.stride + first_channel(),
             {ssd_output(y.x, d.x, x.x), ssd_output(y.y, d.y, x.y)});
  }
};

// The states of a lane in registers. Those it does not have are 0 and stay 0.
template <int kStates>
struct PairStates {
  Float2 h[kStates];

  KRAIT_DEVICE void load(const SsdLane& lane) {
    // Two at once where every pair is whole and begins at eight bytes.
    const bool whole = lane.ssd.head_dim % 2 == 0 && lane.live == 2 &&
                       reinterpret_cast<uintptr_t>(lane.state) % alignof(Float2) == 0;
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const int64_t n = lane.state_index(i);
      const float* from = lane.state + n * lane.ssd.head_dim;
      h[i] = n < 0 ? Float2{0.0f, 0.0f} : whole ? load2(from) : lane.pair(from);
    }
  }
  KRAIT_DEVICE void store(const SsdLane& lane) const {
    const bool whole = lane.ssd.head_dim % 2 == 0 && lane.live == 2 &&
                       reinterpret_cast<uintptr_t>(lane.state) % alignof(Float2) == 0;
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const int64_t n = lane.state_index(i);
      float* to = lane.state + n * lane.ssd.head_dim;
      if (n < 0) continue;
      if (whole)
        *reinterpret_cast<Float2*>(to) = h[i];
      else
        lane.put_pair(to, h[i]);
    }
  }
};

KRAIT_DEVICE void advance_pair(Float2& h, float decay, Float2 dt_x, float b, float c, Float2& y) {
  advance(h.x, decay, dt_x.x, b, c, y.x);
  advance(h.y, decay, dt_x.y, b, c, y.y);
}

struct SsdGrid {
  Ssd ssd;
  int32_t blocks_per_head;
  KRAIT_DEVICE int segment() const { return block_x() / (ssd.n_heads * blocks_per_head); }
};

// Segments of one token each.
template <int kStates>
struct SsdOneToken {
  static constexpr int kThreads = kSsdThreads;
  static constexpr int kMinBlocks = kStates <= 16 ? 6 : 4;
  SsdGrid grid;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    SsdLane lane(grid.ssd, block_x(), grid.blocks_per_head);
    wait_for_predecessor();
    lane.enter(grid.segment());
    PairStates<kStates> states;
    states.load(lane);
    const float* b = lane.b.data + lane.segment.begin * lane.b.stride;
    const float* c = lane.c.data + lane.segment.begin * lane.c.stride;
    const Float2 x = lane.pair(lane.x_of(0));
    const float dt = lane.dt(lane.raw_dt(0)), decay = ssd_decay(dt, lane.rate);
    const Float2 dt_x{dt * x.x, dt * x.y};
    Float2 y{0.0f, 0.0f};
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const int n = lane.state_index(i);
      advance_pair(states.h[i], decay, dt_x, n >= 0 ? b[n] : 0.0f, n >= 0 ? c[n] : 0.0f, y);
    }
    states.store(lane);
    y = {sum_parts<kSsdParts, kApart>(y.x), sum_parts<kSsdParts, kApart>(y.y)};
    sync_warp();  // all lanes have read x, which may be where the result goes
    if (lane.part == 0) lane.put(0, y, x);
  }
};

// Segments of any length, in tiles of tokens through shared memory. What a thread brings of the
// next tile it asks for before the recurrence of this one.
template <int kStates>
struct SsdTiles {
  static constexpr int kThreads = kSsdThreads;
  static constexpr int kMinBlocks = kStates <= 8 ? 4 : kStates <= 16 ? 3 : 2;
  static constexpr int kTile = 8;
  using BC = Inputs<kSsdParts, kStates, kTile, kThreads>;
  static constexpr int kXs = kTile * kChannels, kEachX = kXs / kThreads;
  static constexpr int kBuffer = BC::kFloats + kXs + 2 * kTile;  // B and C, x, {dt, decay}
  static constexpr size_t kSharedBytes = 2 * kBuffer * sizeof(float);
  static_assert(kTile == kSsdParts);  // part p puts out token p of a tile
  SsdGrid grid;

  struct Fetched {
    BC bc;
    float x[kEachX], dt;
  };

  KRAIT_DEVICE void fetch(const SsdLane& lane, int first, Fetched& to) const {
    const int count = lane.segment.length - first;
    to.bc.fetch(lane.b, lane.c, lane.segment.begin + first, count, grid.ssd.d_state);
    KRAIT_UNROLL
    for (int k = 0; k < kEachX; ++k) {
      const int at = thread_index() + k * kThreads, token = at / kChannels;
      const int offset = at % kChannels - lane.in_block;
      to.x[k] = token < count && lane.channel + offset < grid.ssd.head_dim
                    ? lane.x_of(first + token)[offset]
                    : 0.0f;
    }
    to.dt = thread_index() < kTile && thread_index() < count ? lane.raw_dt(first + thread_index())
                                                             : 0.0f;
  }

  KRAIT_DEVICE void put(const SsdLane& lane, const Fetched& from, float* buffer) const {
    from.bc.put(buffer);
    KRAIT_UNROLL
    for (int k = 0; k < kEachX; ++k)
      buffer[BC::kFloats + thread_index() + k * kThreads] = from.x[k];
    if (thread_index() < kTile) {
      const float dt = lane.dt(from.dt);
      float* step = buffer + BC::kFloats + kXs + 2 * thread_index();
      step[0] = dt;
      step[1] = ssd_decay(dt, lane.rate);
    }
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    SsdLane lane(grid.ssd, block_x(), grid.blocks_per_head);
    wait_for_predecessor();
    lane.enter(grid.segment());
    const int length = lane.segment.length;
    PairStates<kStates> states;
    states.load(lane);
    Fetched next;
    fetch(lane, 0, next);
    auto* shared = reinterpret_cast<float*>(shared_memory());
    for (int first = 0, tile = 0; first < length; first += kTile, ++tile) {
      // Two buffers: who writes this one has passed the barrier after all last read it.
      float* buffer = shared + tile % 2 * kBuffer;
      put(lane, next, buffer);
      sync_block();
      fetch(lane, first + kTile, next);
      const float* xs = buffer + BC::kFloats + lane.in_block;
      const float* steps = buffer + BC::kFloats + kXs;
      float y0[kTile], y1[kTile];
      KRAIT_UNROLL
      for (int i = 0; i < kTile; ++i) {
        Float2 y{0.0f, 0.0f};
        if (first + i < length) {
          const Float2 step = load2(steps + 2 * i), x = load2(xs + i * kChannels);
          const Float2 dt_x{step.x * x.x, step.x * x.y};
          KRAIT_UNROLL
          for (int f = 0; f < kStates / 4; ++f) {
            const Float4 b = BC::b(buffer, i, lane.part, f), c = BC::c(buffer, i, lane.part, f);
            Float2* h = states.h + 4 * f;
            advance_pair(h[0], step.y, dt_x, b.x, c.x, y);
            advance_pair(h[1], step.y, dt_x, b.y, c.y, y);
            advance_pair(h[2], step.y, dt_x, b.z, c.z, y);
            advance_pair(h[3], step.y, dt_x, b.w, c.w, y);
          }
        }
        y0[i] = y.x;
        y1[i] = y.y;
      }
      scatter_sums<kSsdParts, kApart>(y0);
      scatter_sums<kSsdParts, kApart>(y1);
      if (first + lane.part < length)
        lane.put(first + lane.part, {y0[0], y1[0]}, load2(xs + lane.part * kChannels));
    }
    states.store(lane);
  }
};

// Any number of states, in the state plane.
struct SsdAnyStates {
  static constexpr int kThreads = kSsdThreads;
  static constexpr int kMinBlocks = 4;
  SsdGrid grid;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    SsdLane lane(grid.ssd, block_x(), grid.blocks_per_head);
    wait_for_predecessor();
    lane.enter(grid.segment());
    for (int t = 0; t < lane.segment.length; ++t) {
      const float* b = lane.b.data + (lane.segment.begin + t) * lane.b.stride;
      const float* c = lane.c.data + (lane.segment.begin + t) * lane.c.stride;
      const Float2 x = lane.pair(lane.x_of(t));
      const float dt = lane.dt(lane.raw_dt(t)), decay = ssd_decay(dt, lane.rate);
      const Float2 dt_x{dt * x.x, dt * x.y};
      Float2 y{0.0f, 0.0f};
      for (int i = 0; i < lane.per_part; ++i) {
        const int64_t n = lane.state_index(i);
        if (n < 0) break;
        float* plane = lane.state + n * grid.ssd.head_dim;
        Float2 h = lane.pair(plane);
        advance_pair(h, decay, dt_x, b[n], c[n], y);
        lane.put_pair(plane, h);
      }
      y = {sum_parts<kSsdParts, kApart>(y.x), sum_parts<kSsdParts, kApart>(y.y)};
      sync_warp();  // as in SsdOneToken
      if (lane.part == 0) lane.put(t, y, x);
    }
  }
};

template <int kStates>
void start_ssd(Stream stream, const Shape& shape, const SsdGrid& grid) noexcept {
  if (grid.ssd.segments.count == grid.ssd.segments.tokens) {
    launch(stream, shape, SsdOneToken<kStates>{grid});
    return;
  }
  Shape tiles = shape;
  tiles.shared_bytes = SsdTiles<kStates>::kSharedBytes;
  launch(stream, tiles, SsdTiles<kStates>{grid});
}

}  // namespace

void ssd_scan(Stream stream, const Ssd& ssd) noexcept {
  if (ssd.segments.count == 0) return;
  const SsdGrid grid{ssd, ceil_div(ssd.head_dim, kChannels)};
  const Shape shape{static_cast<int64_t>(ssd.segments.count) * ssd.n_heads * grid.blocks_per_head,
                    1, kSsdThreads, 0};
  const int32_t per_part = ceil_div(ssd.d_state, kSsdParts);
  if (per_part <= 4) return start_ssd<4>(stream, shape, grid);
  if (per_part <= 8) return start_ssd<8>(stream, shape, grid);
  if (per_part <= 16) return start_ssd<16>(stream, shape, grid);
  if (per_part <= kMostStates) return start_ssd<kMostStates>(stream, shape, grid);
  launch(stream, shape, SsdAnyStates{grid});
}

}  // namespace krait::cuda
