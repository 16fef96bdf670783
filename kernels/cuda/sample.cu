// One block per row:
//   1. Every thread looks at a share of the ids and keeps its best one.
//   2. A threshold that at least top_k of these reach is below the top_k best of all. Only threads
//      whose best reaches it look at their share again, and few ids besides the wanted do.
//   3. These are put in order by counting; then the host's steps: top-p, min-p, and the draw over
//      what is left, in the order of ids, with sums in double by one thread.
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/philox.h"
#include "kernels/cuda/sample.h"

namespace krait::cuda {
namespace {

constexpr int kFewThreads = 256;  // for small vocabularies; as many as there may be candidates
static_assert(kFewThreads >= kMostTopK);
constexpr int kListed = 1024;  // ids that reach the threshold; where there are more: slowly

// Orders as the floats do, -0 as 0. Not for NaN.
KRAIT_DEVICE uint32_t order_of(float logit) {
  const uint32_t bits = logit == 0.0f ? 0u : bits_of_float(logit);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
KRAIT_DEVICE float logit_of(uint32_t order) {
  return float_of_bits(order >> 31 ? order & 0x7fffffffu : ~order);
}
constexpr uint32_t kLowest = 0x007fffffu;  // order_of(-inf)

// An id with its logit: the better the greater, of equal logits the lower id. 0: none.
KRAIT_DEVICE uint64_t rank_of(uint32_t order, uint32_t id) { return uint64_t{order} << 32 | ~id; }
KRAIT_DEVICE uint32_t order_in(uint64_t rank) { return static_cast<uint32_t>(rank >> 32); }
KRAIT_DEVICE int32_t id_in(uint64_t rank) {
  return static_cast<int32_t>(~static_cast<uint32_t>(rank));
}

KRAIT_DEVICE uint64_t greatest_lane(uint64_t rank) {
  KRAIT_UNROLL
  for (int mask = 1; mask < kWarp; mask *= 2) {
    const uint64_t other = uint64_t{shuffle_xor(static_cast<uint32_t>(rank >> 32), mask)} << 32 |
                           shuffle_xor(static_cast<uint32_t>(rank), mask);
    rank = other > rank ? other : rank;
  }
  return rank;
}

struct Shared {
  uint64_t listed[kListed];
  uint64_t sorted[kMostTopK];  // the top_k best, best first
  double plain[kMostTopK];     // exp(logit - highest), in that order
  double weight[kMostTopK];    // exp((logit - highest) / temperature), by id
  int32_t id[kMostTopK];       // ascending
  uint64_t best[kWarp];        // of a warp
  uint32_t words[kWarp];
  uint32_t count;
};

struct SampleRow {
  static constexpr int kThreads = 1024;
  static constexpr int kMinBlocks = 1;
  Sample s;

  KRAIT_DEVICE int warps() const { return thread_count() / kWarp; }
  KRAIT_DEVICE Shared& shared() const { return *reinterpret_cast<Shared*>(shared_memory()); }

  // This thread's share of the row, ids rising.
  template <class Visit>
  KRAIT_DEVICE void share(const float* row, const Visit& visit) const {
    const int first = static_cast<int>(-(reinterpret_cast<uintptr_t>(row) / 4) & 3);
    const int before = first < s.vocab ? first : s.vocab, fours = (s.vocab - before) / 4;
    if (thread_index() < before) visit(row[thread_index()], thread_index());
#if defined(__CUDACC__)
#pragma unroll 4
#endif
    for (int i = thread_index(); i < fours; i += thread_count()) {
      const int id = before + 4 * i;
      const Float4 four = load4(row + id);
      visit(four.x, id);
      visit(four.y, id + 1);
      visit(four.z, id + 2);
      visit(four.w, id + 3);
    }
    const int id = before + 4 * fours + thread_index();
    if (id < s.vocab) visit(row[id], id);
  }

  KRAIT_DEVICE uint64_t best_of_block(uint64_t rank) const {
    rank = greatest_lane(rank);
    if (lane_index() == 0) shared().best[warp_index()] = rank;
    sync_block();
    rank = greatest_lane(lane_index() < warps() ? shared().best[lane_index()] : 0);
    sync_block();
    return rank;
  }

  KRAIT_DEVICE uint32_t least_of_block(uint32_t value) const {
    for (int round = 0; round < 2; ++round) {
      KRAIT_UNROLL
      for (int mask = 1; mask < kWarp; mask *= 2) {
        const uint32_t other = shuffle_xor(value, mask);
        value = other < value ? other : value;
      }
      if (round > 0) break;
      if (lane_index() == 0) shared().words[warp_index()] = value;
      sync_block();
      value = lane_index() < warps() ? shared().words[lane_index()] : ~0u;
    }
    sync_block();
    return value;
  }

  // A logit's order that at least `wanted` ids reach, or all that can be drawn. `mine`: of this
  // thread's best.
  KRAIT_DEVICE uint32_t threshold(uint32_t mine, uint32_t highest, uint32_t wanted) const {
    const uint32_t least = least_of_block(mine);
    uint32_t low = least > kLowest ? least : kLowest + 1;
    if (count_block(mine >= low, shared().words) < wanted) return low;
    for (uint32_t high = highest + 1; high - low > 1;) {
      const uint32_t middle = low + (high - low) / 2;
      const uint32_t count = count_block(mine >= middle, shared().words);
      if (count < wanted) {
        high = middle;
        continue;
      }
      low = middle;
      if (count <= 2 * wanted) break;
    }
    return low;
  }

  // The ids from the threshold on into `listed`, in any order; how many there are, which may be
  // more than fit.
  KRAIT_DEVICE uint32_t list(const float* row, uint32_t mine, uint32_t least) const {
    Shared& m = shared();
    if (thread_index() == 0) m.count = 0;
    sync_block();
    if (mine >= least)
      share(row, [&](float logit, int id) {
        const uint32_t order = order_of(logit);
        if (order < least) return;
        const uint32_t at = add_shared(&m.count, 1);
        if (at < kListed) m.listed[at] = rank_of(order, static_cast<uint32_t>(id));
      });
    sync_block();
    return m.count;
  }

  // The best one by one. Thousands of equal logits come here.
  KRAIT_DEVICE uint32_t list_slowly(const float* row, uint64_t best, uint32_t wanted) const {
    uint32_t count = 0;
    while (count < wanted && order_in(best) > kLowest) {
      if (thread_index() == 0) shared().listed[count] = best;
      ++count;
      uint64_t next = 0;
      share(row, [&](float logit, int id) {
        const uint64_t rank = rank_of(order_of(logit), static_cast<uint32_t>(id));
        if (rank < best && rank > next) next = rank;
      });
      best = best_of_block(next);
    }
    return count;
  }

  // The first `wanted` of the listed, in order.
  KRAIT_DEVICE uint32_t sort(uint32_t count, uint32_t wanted) const {
    Shared& m = shared();
    for (uint32_t i = static_cast<uint32_t>(thread_index()); i < count;
         i += static_cast<uint32_t>(thread_count())) {
      const uint64_t own = m.listed[i];
      uint32_t better = 0;
      for (uint32_t j = 0; j < count; ++j) better += m.listed[j] > own ? 1u : 0u;
      if (better < wanted) m.sorted[better] = own;
    }
    sync_block();
    return count < wanted ? count : wanted;
  }

  // The sum of values[0, count), and that up to this thread's, in order.
  struct Sums {
    double all, reached;
  };
  KRAIT_DEVICE Sums sums(const double* values, uint32_t count) const {
    const auto own = static_cast<uint32_t>(thread_index());
    Sums sums{0, 0};
    if (own >= count) return sums;
    for (uint32_t i = 0; i < count; ++i) {
      sums.all += values[i];
      if (i == own) sums.reached = sums.all;
    }
    return sums;
  }

  // How many of the first `count` have together the share `mass` of the probability.
  KRAIT_DEVICE uint32_t keep_mass(uint32_t count, double mass) const {
    const bool listed = static_cast<uint32_t>(thread_index()) < count;
    const Sums sum = sums(shared().plain, count);
    const uint32_t below = count_block(listed && sum.reached < mass * sum.all, shared().words);
    return below < count ? below + 1 : count;
  }

  KRAIT_DEVICE int32_t draw(const Draw& d, uint32_t count) const {
    Shared& m = shared();
    const auto i = static_cast<uint32_t>(thread_index());
    const double highest = logit_of(order_in(m.sorted[0]));
    double over = 0;
    if (i < count) {
      over = logit_of(order_in(m.sorted[i])) - highest;
      m.plain[i] = exp(over);
    }
    sync_block();
    if (d.top_p < 1.0f) count = keep_mass(count, d.top_p);
    const auto stays = [&](uint32_t j) { return !(d.min_p > 0) || m.plain[j] >= d.min_p; };
    const bool mine = i < count && stays(i);
    if (mine) {
      const int32_t id = id_in(m.sorted[i]);
      uint32_t before = 0;
      for (uint32_t j = 0; j < count; ++j) before += stays(j) && id_in(m.sorted[j]) < id ? 1u : 0u;
      m.id[before] = id;
      m.weight[before] = exp(over / static_cast<double>(d.temperature));
    }
    count = count_block(mine, m.words);
    const Sums sum = sums(m.weight, count);
    const double target = uniform_at(d.seed, d.sequence, d.position) * sum.all;
    const uint32_t chosen = count_block(i < count && sum.reached <= target, m.words);
    return m.id[chosen < count ? chosen : count - 1];  // the last only by rounding: target < sum
  }

  // The id, or why there is none: the same in all threads.
  KRAIT_DEVICE int32_t choose(const Draw& d, const float* row) const {
    bool usable = true;
    uint64_t mine = 0;
    share(row, [&](float logit, int id) {
      usable = usable && logit < INFINITY;
      const uint32_t order = order_of(logit);
      if (order > order_in(mine)) mine = rank_of(order, static_cast<uint32_t>(id));
    });
    if (count_block(!usable, shared().words) > 0) return kNotANumber;
    const uint64_t best = best_of_block(mine);
    if (order_in(best) <= kLowest) return kNoCandidate;
    if (d.top_k <= 1) return id_in(best);
    const auto wanted = static_cast<uint32_t>(d.top_k < kMostTopK ? d.top_k : kMostTopK);
    const uint32_t least = threshold(order_in(mine), order_in(best), wanted);
    uint32_t count = list(row, order_in(mine), least);
    if (count > kListed) count = list_slowly(row, best, wanted);
    return draw(d, sort(count, wanted));
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int row = block_x();
    Draw d = s.draws[row];
    const int32_t id = choose(d, s.logits.data + row * s.logits.stride);
    if (thread_index() != 0) return;
    s.ids[row] = id < 0 ? 0 : id;
    const uint32_t n = d.drawn++;
    ++d.position;
    s.draws[row] = d;
    if (s.ring)
      store_for_host(s.ring + int64_t{row} * s.ring_length + n % s.ring_length,
                     uint64_t{d.drawn} << 32 | static_cast<uint32_t>(id));
  }
};

}  // namespace

void sample(Stream stream, const Sample& s) noexcept {
  SampleRow kernel;
  kernel.s = s;
  const int threads = s.vocab <= 8 * kFewThreads ? kFewThreads : SampleRow::kThreads;
  launch(stream, {s.rows, 1, threads, sizeof(Shared)}, kernel);
}

}  // namespace krait::cuda
