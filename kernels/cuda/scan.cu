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
  bool live;
  int part, first_state, states;  // the states first_state to + states - 1
  Segment segment;
  float* state = nullptr;  // the first, in the slot of the segment

  KRAIT_DEVICE ScanLane(const Scan& s, int channel_block)
      : scan(s),
        channel(static_cast<int64_t>(channel_block) * kChannels + warp_index() * kApart +
                lane_index() % kApart),
        live(channel < s.d_inner),
        part(lane_index() / kApart) {
    const int per_part = (s.d_state + kScanParts - 1) / kScanParts;
    first_state = part * per_part;
    const auto last = static_cast<int>(at_most(first_state + per_part, s.d_state));
    states = live && last > first_state ? last - first_state : 0;
  }

  KRAIT_DEVICE void enter(int segment_index) {
    segment = scan.segments.list[segment_index];
    state = scan.state.data + segment.slot * scan.state.slot_stride + first_plane();
  }
  // Where the first state's parameters and values begin, in planes [d_state, d_inner].
  KRAIT_DEVICE int64_t first_plane() const {
    return static_cast<int64_t>(first_state) * scan.d_inner + channel;
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
    const float* a = lane.scan.a + lane.first_plane();
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i)
      rate[i] = i < lane.states ? decay_rate(a[int64_t{i} * lane.scan.d_inner]) : 0.0f;
  }
  KRAIT_DEVICE void load(const ScanLane& lane) {
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i)
      h[i] = i < lane.states ? lane.state[int64_t{i} * lane.scan.d_inner] : 0.0f;
  }
  KRAIT_DEVICE void store(const ScanLane& lane) const {
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i)
      if (i < lane.states) lane.state[int64_t{i} * lane.scan.d_inner] = h[i];
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
    const float* b = scan.b.data + lane.segment.begin * scan.b.stride + lane.first_state;
    const float* c = scan.c.data + lane.segment.begin * scan.c.stride + lane.first_state;
    const float x = lane.get(scan.x, 0), z = lane.get(scan.z, 0);
    const float dt = scan_dt(lane.get(scan.dt, 0), bias), dt_x = dt * x;
    float y = 0.0f;
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      const bool own = i < lane.states;
      scan_state(states.h[i], states.rate[i], dt, dt_x, own ? b[i] : 0.0f, own ? c[i] : 0.0f, y);
    }
    states.store(lane);
    y = sum_parts<kScanParts, kApart>(y);
    sync_warp();  // all lanes have read x, dt and z, which may be where the result goes
    if (lane.part == 0) lane.put(0, scan_output(y, d, x, z));
  }
};

// Rows of x, dt, z or out of one channel, every kScanParts-th from a part's first token on.
struct OwnRows {
  float* at;
  int64_t step;

  KRAIT_DEVICE OwnRows(const ScanLane& lane, const Rows& rows)
      : at(rows.data + (lane.segment.begin + lane.part) * rows.stride + lane.channel),
        step(kScanParts * rows.stride) {}
  // The next ones: where there are more than k * kScanParts tokens left the k-th, or all.
  template <bool kAll, int count>
  KRAIT_DEVICE void get(int left, float (&to)[count]) {
    KRAIT_UNROLL
    for (int k = 0; k < count; ++k) to[k] = kAll || k * kScanParts < left ? at[k * step] : 0.0f;
    at += count * step;
  }
  template <bool kAll, int count>
  KRAIT_DEVICE void put(int left, const float (&from)[count]) {
    KRAIT_UNROLL
    for (int k = 0; k < count; ++k)
      if (kAll || k * kScanParts < left) at[k * step] = from[k];
    at += count * step;
  }
};

// Segments of any length, in tiles of tokens. A lane prepares and puts out every fourth token of a
// tile, so that softplus and SiLU are done once and stay out of the recurrence; what it needs of
// the next tile it asks for before the recurrence of this one. Whole tiles have no branches.
template <int kStates>
struct ScanTiles {
  static constexpr int kThreads = kScanThreads;
  static constexpr int kMinBlocks = kStates <= 4 ? 3 : 2;
  static constexpr int kTile = 16;
  static constexpr int kOwn = kTile / kScanParts;
  using BC = Inputs<kScanParts, kStates, kTile, kThreads>;
  static constexpr size_t kSharedBytes = 2 * BC::kFloats * sizeof(float);
  Scan scan;
  int32_t channel_blocks;

  struct Tile {
    float dt[kOwn], x[kOwn], z[kOwn];
  };
  struct Tokens {  // of the segment, for one lane, tile by tile
    OwnRows dt, x, z, out;
    BC bc;
    bool all_whole;   // no lane of the block is without a channel, none without a state
    int count, left;  // tokens not yet fetched, and those from this lane's first on

    KRAIT_DEVICE explicit Tokens(const ScanLane& lane)
        : dt(lane, lane.scan.dt),
          x(lane, lane.scan.x),
          z(lane, lane.scan.z),
          out(lane, lane.scan.out),
          all_whole(BC::exact(lane.scan.d_state) &&
                    (lane.channel / kChannels + 1) * kChannels <= lane.scan.d_inner),
          count(lane.segment.length),
          left(lane.live ? count - lane.part : 0) {
      bc.begin(lane.scan.b, lane.scan.c, lane.segment.begin, lane.scan.d_state);
    }
    KRAIT_DEVICE bool next_whole() const { return all_whole && count >= kTile; }
    template <bool kWhole>
    KRAIT_DEVICE void fetch(Tile& tile) {
      dt.template get<kWhole>(left, tile.dt);
      x.template get<kWhole>(left, tile.x);
      z.template get<kWhole>(left, tile.z);
      bc.template fetch<kWhole>(count);
      count -= kTile;
      left -= kTile;
    }
  };

  // The recurrence over a tile, whole or of `count` tokens; y[i] is this part's sum for token i.
  template <bool kWhole>
  static KRAIT_DEVICE void recur(LaneStates<kStates>& states, const float* bc,
                                 const float (&own_dt)[kOwn], const float (&own_dt_x)[kOwn],
                                 int count, float (&y)[kTile]) {
    const int part = lane_index() / kApart;
    KRAIT_UNROLL
    for (int i = 0; i < kTile; ++i) {
      y[i] = 0.0f;
      if (!kWhole && i >= count) continue;
      const int owner = i % kScanParts * kApart + lane_index() % kApart;
      const float dt = shuffle(own_dt[i / kScanParts], owner);
      const float dt_x = shuffle(own_dt_x[i / kScanParts], owner);
      KRAIT_UNROLL
      for (int f = 0; f < kStates / 4; ++f) {
        const Float4 b = BC::b_of(bc, i, part, f), c = BC::c_of(bc, i, part, f);
        float* h = states.h + 4 * f;
        const float* rate = states.rate + 4 * f;
        scan_state(h[0], rate[0], dt, dt_x, b.x, c.x, y[i]);
        scan_state(h[1], rate[1], dt, dt_x, b.y, c.y, y[i]);
        scan_state(h[2], rate[2], dt, dt_x, b.z, c.z, y[i]);
        scan_state(h[3], rate[3], dt, dt_x, b.w, c.w, y[i]);
      }
    }
  }

  // A tile that was fetched and prepared, `count` tokens of it, `left` from this lane's first on.
  template <bool kWhole>
  static KRAIT_DEVICE void work(Tokens& tokens, LaneStates<kStates>& states, const float* bc,
                                const Tile& tile, float d, int count, int left) {
    float dt_x[kOwn], y[kTile], out[kOwn];
    KRAIT_UNROLL
    for (int k = 0; k < kOwn; ++k) dt_x[k] = tile.dt[k] * tile.x[k];
    recur<kWhole>(states, bc, tile.dt, dt_x, count, y);
    scatter_sums<kScanParts, kApart>(y);
    KRAIT_UNROLL
    for (int k = 0; k < kOwn; ++k) out[k] = scan_output(y[k], d, tile.x[k], tile.z[k]);
    tokens.out.template put<kWhole>(left, out);
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    ScanLane lane(scan, block_x() % channel_blocks);
    LaneStates<kStates> states;
    states.load_rates(lane);
    const float bias = lane.of_channel(scan.dt_bias), d = lane.of_channel(scan.d);
    wait_for_predecessor();
    lane.enter(block_x() / channel_blocks);
    states.load(lane);
    Tokens tokens(lane);
    Tile tile, next;
    bool whole = tokens.next_whole();
    int count = tokens.count, left = tokens.left;
    tokens.template fetch<false>(next);
    auto* shared = reinterpret_cast<float*>(shared_memory());
    for (int buffer = 0; count > 0; buffer ^= 1) {
      // Two buffers: who writes this one has passed the barrier after all last read it.
      float* bc = shared + buffer * BC::kFloats;
      tile = next;
      KRAIT_UNROLL
      for (int k = 0; k < kOwn; ++k) tile.dt[k] = scan_dt(tile.dt[k], bias);
      tokens.bc.put(bc);
      sync_block();
      const bool next_whole = tokens.next_whole();
      const int next_count = tokens.count, next_left = tokens.left;
      if (next_whole)
        tokens.template fetch<true>(next);
      else
        tokens.template fetch<false>(next);
      if (whole)
        work<true>(tokens, states, bc, tile, d, count, left);
      else
        work<false>(tokens, states, bc, tile, d, count, left);
      whole = next_whole;
      count = next_count;
      left = next_left;
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
      const int64_t row = lane.segment.begin + t;
      const float* b = scan.b.data + row * scan.b.stride + lane.first_state;
      const float* c = scan.c.data + row * scan.c.stride + lane.first_state;
      const float x = lane.get(scan.x, t), z = lane.get(scan.z, t);
      const float dt = scan_dt(lane.get(scan.dt, t), bias), dt_x = dt * x;
      float y = 0.0f;
      for (int64_t i = 0; i < lane.states; ++i) {
        float* h = lane.state + i * scan.d_inner;
        const float rate = decay_rate(scan.a[lane.first_plane() + i * scan.d_inner]);
        scan_state(*h, rate, dt, dt_x, b[i], c[i], y);
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
