// Draws of the CUDA kernel, on its twin, against the sampler of the host.
#include "kernels/cuda/sample.h"

#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cuda/twin/twin.h"
#include "krait/error.h"
#include "krait/sampler.h"

namespace krait::cuda {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr uint32_t kRing = 4;

Draw draw_of(const SamplingOptions& o, uint64_t seed, uint64_t sequence, uint64_t position) {
  Draw d;
  d.seed = seed;
  d.sequence = sequence;
  d.position = position;
  const bool greedy = o.temperature == 0 || o.top_k == 1;
  d.top_k = greedy ? 1 : o.top_k;
  if (!greedy) d.temperature = o.temperature;
  d.top_p = o.top_p;
  d.min_p = o.min_p;
  return d;
}

// Rows of logits that begin anywhere, with something after the vocabulary that must not be chosen.
struct Logits {
  Logits(int32_t rows, int32_t vocab, int64_t offset, int64_t padding)
      : vocab_size(vocab),
        begin(offset),
        stride(vocab + padding),
        memory(static_cast<size_t>(offset + rows * stride + 4), kInf) {}
  std::span<float> row(int64_t r) {
    return {memory.data() + begin + r * stride, static_cast<size_t>(vocab_size)};
  }
  krait::cuda::Rows rows() { return {memory.data() + begin, stride}; }

  int32_t vocab_size;
  int64_t begin, stride;
  std::vector<float> memory;
};

struct Drawn {
  std::vector<int32_t> ids, next;  // as the host reads them; as the next step feeds them
};
Drawn draw(Logits& logits, std::vector<Draw>& draws) {
  const auto rows = static_cast<int32_t>(draws.size());
  std::vector<uint64_t> ring(draws.size() * kRing);
  std::vector<uint32_t> before;
  for (const Draw& d : draws) before.push_back(d.drawn);
  Drawn out;
  out.next.assign(draws.size(), -7);
  Sample s;
  s.logits = logits.rows();
  s.rows = rows;
  s.vocab = logits.vocab_size;
  s.draws = draws.data();
  s.ids = out.next.data();
  s.ring = ring.data();
  s.ring_length = kRing;
  sample(nullptr, s);
  for (size_t r = 0; r < draws.size(); ++r) {
    const uint64_t word = ring[r * kRing + before[r] % kRing];
    EXPECT_EQ(word >> 32, before[r] + 1);
    EXPECT_EQ(draws[r].drawn, before[r] + 1);
    out.ids.push_back(static_cast<int32_t>(static_cast<uint32_t>(word)));
    EXPECT_EQ(out.next[r], std::max(out.ids.back(), 0));
  }
  return out;
}

// One draw of each row against the host's.
void expect_as_host(Logits& logits, const SamplingOptions& o, uint64_t seed, int32_t rows = 1) {
  std::vector<Draw> draws;
  for (int32_t r = 0; r < rows; ++r)
    draws.push_back(
        draw_of(o, seed, static_cast<uint64_t>(r), seed * 3 + static_cast<uint64_t>(r)));
  const std::vector<Draw> before = draws;
  const Drawn drawn = draw(logits, draws);
  for (int32_t r = 0; r < rows; ++r) {
    const Draw& d = before[static_cast<size_t>(r)];
    Sampler host(o, logits.vocab_size, d.seed, d.sequence);
    EXPECT_EQ(drawn.ids[static_cast<size_t>(r)], host.sample(logits.row(r), d.position))
        << "row " << r << ", seed " << seed << ", vocab " << logits.vocab_size << ", temp "
        << o.temperature << ", top-k " << o.top_k << ", top-p " << o.top_p << ", min-p " << o.min_p;
    EXPECT_EQ(draws[static_cast<size_t>(r)].position, d.position + 1);
  }
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t integer(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  float real(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(engine_);
  }
  float normal() { return std::normal_distribution<float>()(engine_); }
  bool one_in(int64_t n) { return integer(1, n) == 1; }

  // Flat or peaked, with or without equal values and -inf.
  void fill(std::span<float> row) {
    const float scale = std::exp(real(-3, 2));
    const bool ties = one_in(3), holes = one_in(3), clustered = one_in(4);
    for (float& x : row) {
      x = normal() * scale;
      if (ties) x = std::round(x * 4) / 4;
      if (holes && one_in(2)) x = -kInf;
    }
    // The best ones in the share of few threads.
    if (clustered)
      for (size_t i = static_cast<size_t>(integer(0, 7)); i < row.size(); i += 4096) row[i] += 20;
    row[static_cast<size_t>(integer(0, std::ssize(row) - 1))] = 0;  // never all -inf
  }

  SamplingOptions options(int32_t vocab) {
    SamplingOptions o;
    o.temperature = one_in(8) ? 0 : std::exp(real(-3, 1));
    const auto most = std::min<int64_t>(kMostTopK, vocab - 1);
    o.top_k = static_cast<int32_t>(integer(1, one_in(2) ? std::min<int64_t>(most, 40) : most));
    o.top_p = one_in(3) ? 1 : real(0.01f, 1);
    o.min_p = one_in(3) ? 0 : one_in(6) ? 1 : real(0, 0.5f);
    return o;
  }

 private:
  std::mt19937_64 engine_;
};

TEST(CudaSample, ChoosesWhatTheHostChooses) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Random random(seed);
    const auto vocab = static_cast<int32_t>(random.one_in(4)   ? random.integer(2, 40)
                                            : random.one_in(3) ? random.integer(3000, 20000)
                                                               : random.integer(40, 3000));
    Logits logits(1, vocab, random.integer(0, 5), 0);
    random.fill(logits.row(0));
    expect_as_host(logits, random.options(vocab), seed);
  }
}

TEST(CudaSample, AVocabularyOfFiftyThousandAndOfAQuarterMillion) {
  for (const int32_t vocab : {50280, 262144}) {
    Random random(static_cast<uint64_t>(vocab));
    Logits logits(1, vocab, 1, 0);
    for (uint64_t i = 0; i < 4; ++i) {
      random.fill(logits.row(0));
      expect_as_host(logits, random.options(vocab), i);
    }
  }
}

TEST(CudaSample, EveryRowIsDrawnByItself) {
  for (const int64_t padding : {0, 3, 16}) {
    Logits logits(9, 700, 2, padding);
    Random random(static_cast<uint64_t>(padding));
    for (int r = 0; r < 9; ++r) random.fill(logits.row(r));
    expect_as_host(logits, SamplingOptions{}, 11, 9);
  }
}

TEST(CudaSample, ManyEqualLogits) {
  Logits logits(1, 5000, 0, 0);
  for (const float value : {0.0f, -3.0f}) {
    for (size_t i = 0; i < 5000; ++i) logits.row(0)[i] = i % 2 && value == 0 ? -0.0f : value;
    SamplingOptions o;
    for (const int32_t k : {1, 2, 40, 256})
      for (const float top_p : {0.3f, 1.0f}) {
        o.top_k = k;
        o.top_p = top_p;
        expect_as_host(logits, o, static_cast<uint64_t>(k));
      }
  }
}

// Many above the threshold, but in the share of few threads: more than are listed.
TEST(CudaSample, TheBestInTheShareOfFewThreads) {
  Logits logits(1, 262144, 0, 0);
  Random random(5);
  for (size_t i = 0; i < 262144; ++i)
    logits.row(0)[i] = random.normal() + (i % 4096 < 41 * 4 ? 100.0f : 0.0f);
  SamplingOptions o;
  o.top_p = 1;
  o.min_p = 0;
  o.temperature = 3;
  for (uint64_t seed = 0; seed < 2; ++seed) expect_as_host(logits, o, seed);
}

TEST(CudaSample, FewerCandidatesThanTopK) {
  SamplingOptions o;
  o.top_p = 1;
  o.min_p = 0;
  for (const size_t finite : {1, 2, 7}) {
    Logits logits(1, 3000, 0, 0);
    for (float& x : logits.row(0)) x = -kInf;
    for (size_t i = 0; i < finite; ++i) logits.row(0)[i * 400 + 13] = static_cast<float>(i) * 0.1f;
    for (uint64_t seed = 0; seed < 8; ++seed) expect_as_host(logits, o, seed);
  }
}

TEST(CudaSample, AVocabularyOfOne) {
  Logits logits(1, 1, 3, 0);
  logits.row(0)[0] = -5;
  std::vector<Draw> draws(1);
  EXPECT_EQ(draw(logits, draws).ids[0], 0);
}

TEST(CudaSample, CountsOnByItself) {
  Logits logits(1, 300, 0, 0);
  Random(3).fill(logits.row(0));
  SamplingOptions o;
  o.temperature = 5;
  o.min_p = 0;
  Sampler host(o, 300, 8, 9);
  std::vector<Draw> draws = {draw_of(o, 8, 9, (uint64_t{1} << 32) - 3)};
  for (uint64_t i = 0; i < 3 * kRing; ++i)
    EXPECT_EQ(draw(logits, draws).ids[0], host.sample(logits.row(0), (uint64_t{1} << 32) - 3 + i));
}

// Where the host's sampler throws.
TEST(CudaSample, LogitsThatCannotBeSampled) {
  SamplingOptions o;
  for (const int32_t top_k : {1, 40})
    for (const size_t where : {0, 1, 777, 1999}) {
      o.top_k = top_k;
      Logits logits(1, 2000, 0, 0);
      Random(where).fill(logits.row(0));
      for (const float bad : {kInf, std::nanf(""), -std::nanf("")}) {
        logits.row(0)[where] = bad;
        std::vector<Draw> draws = {draw_of(o, 1, 0, 0)};
        EXPECT_EQ(draw(logits, draws).ids[0], kNotANumber);
        EXPECT_THROW(Sampler(o, 2000, 1).sample(logits.row(0), 0), Failure);
      }
      for (float& x : logits.row(0)) x = -kInf;
      std::vector<Draw> draws = {draw_of(o, 1, 0, 0)};
      EXPECT_EQ(draw(logits, draws).ids[0], kNoCandidate);
      EXPECT_THROW(Sampler(o, 2000, 1).sample(logits.row(0), 0), Failure);
    }
}

}  // namespace
}  // namespace krait::cuda
