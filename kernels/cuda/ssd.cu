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
  int head, in_block, channel;    // the first of the pair: in the block, in the head
  int live;                       // channels that there are: 0 to 2
  int part, first_state, states;  // the states first_state to + states - 1
  float rate, dt_bias;
  Float2 d;
  Rows b, c;  // of the head's group
  Segment segment;
  float* state = nullptr;  // the first, in the slot of the segment

  KRAIT_DEVICE SsdLane(const Ssd& s, int block, int blocks_per_head)
      : ssd(s),
        head(block / blocks_per_head % s.n_heads),
        in_block(2 * (warp_index() * kApart + lane_index() % kApart)),
        channel(block % blocks_per_head * kChannels + in_block),
        live(static_cast<int>(at_most(2, s.head_dim - channel))),
        part(lane_index() / kApart),
        rate(decay_rate(s.a[head])),
        dt_bias(s.dt_bias[head]),
        d(pair(s.d + first_channel())),
        b(s.b),
        c(s.c) {
    const int per_part = (s.d_state + kSsdParts - 1) / kSsdParts;
    first_state = part * per_part;
    const auto last = static_cast<int>(at_most(first_state + per_part, s.d_state));
    states = last > first_state ? last - first_state : 0;
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
            (static_cast<int64_t>(head) * ssd.d_state + first_state) * ssd.head_dim + channel;
  }
  // Every pair is whole and begins at eight bytes.
  KRAIT_DEVICE bool whole() const {
    return ssd.head_dim % 2 == 0 && live == 2 &&
           reinterpret_cast<uintptr_t>(state) % alignof(Float2) == 0;
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
    const bool whole = lane.whole();
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const float* from = lane.state + int64_t{i} * lane.ssd.head_dim;
      h[i] = {0.0f, 0.0f};
      if (i < lane.states) h[i] = whole ? load2(from) : lane.pair(from);
    }
  }
  KRAIT_DEVICE void store(const SsdLane& lane) const {
    const bool whole = lane.whole();
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      float* to = lane.state + int64_t{i} * lane.ssd.head_dim;
      if (i >= lane.states) continue;
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
  static constexpr int kMinBlocks = kStates <= 8 ? 5 : kStates <= 16 ? 4 : 2;
  SsdGrid grid;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    SsdLane lane(grid.ssd, block_x(), grid.blocks_per_head);
    wait_for_predecessor();
    lane.enter(grid.segment());
    PairStates<kStates> states;
    states.load(lane);
    const float* b = lane.b.data + lane.segment.begin * lane.b.stride + lane.first_state;
    const float* c = lane.c.data + lane.segment.begin * lane.c.stride + lane.first_state;
    const Float2 x = lane.pair(lane.x_of(0));
    const float dt = lane.dt(lane.raw_dt(0)), decay = ssd_decay(dt, lane.rate);
    const Float2 dt_x{dt * x.x, dt * x.y};
    Float2 y{0.0f, 0.0f};
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const bool own = i < lane.states;
      advance_pair(states.h[i], decay, dt_x, own ? b[i] : 0.0f, own ? c[i] : 0.0f, y);
    }
    states.store(lane);
    y = {sum_parts<kSsdParts, kApart>(y.x), sum_parts<kSsdParts, kApart>(y.y)};
    sync_warp();  // all lanes have read x, which may be where the result goes
    if (lane.part == 0) lane.put(0, y, x);
  }
};

// Step and decay of a head for kWarp tokens, one a lane: every warp finds them for itself.
struct Steps {
  const SsdLane& lane;
  float raw = 0.0f, dt = 0.0f, decay = 0.0f;

  // Of tokens `first` and on, later.
  KRAIT_DEVICE void fetch(int first) {
    const int token = first + lane_index();
    raw = token < lane.segment.length ? lane.raw_dt(token) : 0.0f;
  }
  KRAIT_DEVICE void find() {
    dt = lane.dt(raw);
    decay = ssd_decay(dt, lane.rate);
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
  static constexpr int kEachX = kTile * kChannels / kThreads;
  static constexpr int kBuffer = BC::kFloats + kTile * kChannels;  // B and C, then x
  static constexpr size_t kSharedBytes = 2 * kBuffer * sizeof(float);
  static_assert(kTile == kSsdParts);  // part p puts out token p of a tile
  static_assert(kThreads % kChannels == 0);
  SsdGrid grid;

  // The inputs x on their way to shared memory: a channel of some tokens for each thread.
  struct Xs {
    static constexpr int kTokenStep = kThreads / kChannels;
    const float* at;  // the next tile, at this thread's first token and channel
    int64_t stride;
    bool live;
    float carried[kEachX];

    KRAIT_DEVICE explicit Xs(const SsdLane& lane) : stride(lane.ssd.x.stride) {
      const int offset = thread_index() % kChannels - lane.in_block;
      live = lane.channel + offset < lane.ssd.head_dim;
      at = lane.x_of(thread_index() / kChannels) + offset;
    }
    // The next tile: `count` tokens or, with kWhole, all and of all channels of the block.
    template <bool kWhole>
    KRAIT_DEVICE void fetch(int count) {
      KRAIT_UNROLL
      for (int k = 0; k < kEachX; ++k) {
        const bool there = thread_index() / kChannels + k * kTokenStep < count;
        carried[k] = kWhole || (live && there) ? at[k * kTokenStep * stride] : 0.0f;
      }
      at += kTile * stride;
    }
    KRAIT_DEVICE void put(float* shared) const {
      KRAIT_UNROLL
      for (int k = 0; k < kEachX; ++k) shared[thread_index() + k * kThreads] = carried[k];
    }
  };

  // The recurrence over a tile, whole or of `count` tokens, whose steps begin at lane `step`;
  // y0[i] and y1[i] are this part's sums of the pair for token i.
  template <bool kWhole>
  static KRAIT_DEVICE void recur(PairStates<kStates>& states, const float* buffer, const float* xs,
                                 const Steps& steps, int step, int count, float (&y0)[kTile],
                                 float (&y1)[kTile]) {
    const int part = lane_index() / kApart;
    KRAIT_UNROLL
    for (int i = 0; i < kTile; ++i) {
      y0[i] = y1[i] = 0.0f;
      if (!kWhole && i >= count) continue;
      const float dt = shuffle(steps.dt, step + i), decay = shuffle(steps.decay, step + i);
      const Float2 x = load2(xs + i * kChannels), dt_x{dt * x.x, dt * x.y};
      Float2 y{0.0f, 0.0f};
      KRAIT_UNROLL
      for (int f = 0; f < kStates / 4; ++f) {
        const Float4 b = BC::b_of(buffer, i, part, f), c = BC::c_of(buffer, i, part, f);
        Float2* h = states.h + 4 * f;
        advance_pair(h[0], decay, dt_x, b.x, c.x, y);
        advance_pair(h[1], decay, dt_x, b.y, c.y, y);
        advance_pair(h[2], decay, dt_x, b.z, c.z, y);
        advance_pair(h[3], decay, dt_x, b.w, c.w, y);
      }
      y0[i] = y.x;
      y1[i] = y.y;
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
    Steps steps{lane};
    Xs x(lane);
    BC bc;
    bc.begin(lane.b, lane.c, lane.segment.begin, grid.ssd.d_state);
    const bool all_whole = BC::exact(grid.ssd.d_state) &&
                           lane.channel - lane.in_block + kChannels <= grid.ssd.head_dim;
    steps.fetch(0);
    x.template fetch<false>(length);
    bc.template fetch<false>(length);
    auto* shared = reinterpret_cast<float*>(shared_memory());
    for (int first = 0; first < length; first += kTile) {
      // Two buffers: who writes this one has passed the barrier after all last read it.
      float* buffer = shared + first / kTile % 2 * kBuffer;
      const float* xs = buffer + BC::kFloats + lane.in_block;
      const int count = length - first, step = first % kWarp;
      bc.put(buffer);
      x.put(buffer + BC::kFloats);
      if (step == 0) {
        steps.find();
        steps.fetch(first + kWarp);
      }
      sync_block();
      if (all_whole && count >= 2 * kTile) {
        bc.template fetch<true>(count - kTile);
        x.template fetch<true>(count - kTile);
      } else {
        bc.template fetch<false>(count - kTile);
        x.template fetch<false>(count - kTile);
      }
      float y0[kTile], y1[kTile];
      if (count >= kTile)
        recur<true>(states, buffer, xs, steps, step, count, y0, y1);
      else
        recur<false>(states, buffer, xs, steps, step, count, y0, y1);
      scatter_sums<kSsdParts, kApart>(y0);
      scatter_sums<kSsdParts, kApart>(y1);
      if (lane.part < count)
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
      const int64_t row = lane.segment.begin + t;
      const float* b = lane.b.data + row * lane.b.stride + lane.first_state;
      const float* c = lane.c.data + row * lane.c.stride + lane.first_state;
      const Float2 x = lane.pair(lane.x_of(t));
      const float dt = lane.dt(lane.raw_dt(t)), decay = ssd_decay(dt, lane.rate);
      const Float2 dt_x{dt * x.x, dt * x.y};
      Float2 y{0.0f, 0.0f};
      for (int64_t i = 0; i < lane.states; ++i) {
        float* plane = lane.state + i * grid.ssd.head_dim;
        Float2 h = lane.pair(plane);
        advance_pair(h, decay, dt_x, b[i], c[i], y);
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
