#include "tests/determinism/setting.h"

#include <algorithm>

#include "krait/error.h"
#include "src/base/hash.h"
#include "src/engine/scheduler.h"
#include "tests/support/temp_folder.h"

namespace krait::test {
namespace {

using Ids = std::vector<int32_t>;
using Every = std::function<void(int64_t, std::span<const float>)>;

constexpr std::array kThreads = {1, 2, 3, 7};
constexpr std::array kChunks = {1, 5, 64, 4096};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int64_t from(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(engine_() % static_cast<uint64_t>(most - least + 1));
  }
  Ids ids(int64_t count, int32_t vocab) {
    Ids out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<int32_t>(from(0, vocab - 1)));
    return out;
  }

 private:
  std::mt19937_64 engine_;
};

std::unique_ptr<Engine> open(const Setting& s) {
  OpenOptions options;
  options.model = s.subject.model == "induction"
                      ? s.subject.model
                      : std::string(KRAIT_TEST_GOLDEN) + "/models/" + s.subject.model;
  options.backend = {"cpu", s.isa, s.threads, s.subject.act};
  options.dtype = s.subject.weights;
  options.chunk = s.chunk;
  return Engine::open(options);
}

Ids prompt_of(const Setting& s, const Engine& engine) {
  Random random(s.input);
  return random.ids(s.input == 0 ? 48 : random.from(1, 150), engine.sampled_vocab());
}

void add_to(Hasher& hash, std::span<const float> logits) { hash.add(std::as_bytes(logits)); }

// Calls take(piece) for pieces that make up `ids`.
template <class Take>
void in_pieces(std::span<const int32_t> ids, Random& random, const Take& take) {
  while (!ids.empty()) {
    const auto count =
        static_cast<size_t>(std::min<int64_t>(std::ssize(ids), random.from(1, random.from(1, 40))));
    take(ids.first(count));
    ids = ids.subspan(count);
  }
}

void feed_interleaved(Engine& engine, const Ids& ids, Random& random, const Every& every) {
  const auto own = engine.session();
  std::vector<std::unique_ptr<Session>> others;
  for (int i = 0; i < 3; ++i) others.push_back(engine.session(History::discard));
  in_pieces(ids, random, [&](std::span<const int32_t> piece) {
    own->feed(piece, every);
    const auto& other = others[static_cast<size_t>(random.from(0, 2))];
    const Every look = [](int64_t, std::span<const float>) {};
    other->feed(random.ids(random.from(1, 20), engine.sampled_vocab()),
                random.from(0, 1) ? look : Every{});
  });
}

void feed_values(Engine& engine, const Ids& ids, Random& random, const Every& every) {
  const TempFolder folder;
  auto session = engine.session();
  in_pieces(ids, random, [&](std::span<const int32_t> piece) {
    session->feed(piece, every);
    const auto stray = [&](Session& from) {
      from.feed(random.ids(random.from(1, 9), engine.sampled_vocab()));
    };
    switch (random.from(0, 3)) {
      case 0: {  // there and back
        const Snapshot here = session->snapshot();
        stray(*session);
        session->restore(here);
        break;
      }
      case 1: {  // on in the branch, while the original strays
        auto branch = session->fork();
        stray(*session);
        session = std::move(branch);
        break;
      }
      case 2:
        save_state(engine, {session->snapshot(), 0, 0, DType::f32}, folder.path("state"));
        session->reset();
        stray(*session);
        session->restore(load_state(engine, folder.path("state")).snapshot);
        break;
      default: break;
    }
  });
}

// Straight through the model: some sequences a step, ours in any slot and at any place.
void feed_batched(Engine& engine, const Ids& ids, Random& random, const Every& every) {
  const auto slots = static_cast<int32_t>(random.from(1, 6));
  const auto ours = static_cast<int32_t>(random.from(0, slots - 1));
  const int64_t floats = engine.model().state_layout().floats_per_slot();
  const auto states = engine.backend().buffer(slots * floats);
  const auto workspace = engine.model().workspace(slots * 40, slots * 40);
  std::vector<float> row(static_cast<size_t>(engine.model().config().embedding_rows));
  int64_t fed = 0;
  in_pieces(ids, random, [&](std::span<const int32_t> piece) {
    std::vector<int32_t> order(static_cast<size_t>(slots));
    for (int32_t slot = 0; slot < slots; ++slot) order[static_cast<size_t>(slot)] = slot;
    for (size_t i = order.size(); i-- > 1;)
      std::swap(order[i], order[static_cast<size_t>(random.from(0, static_cast<int64_t>(i)))]);
    Ids packed;
    std::vector<Segment> segments;
    std::vector<int32_t> rows;
    int64_t first_row = 0;
    for (const int32_t slot : order) {
      const Ids other = random.ids(random.from(0, 40), engine.sampled_vocab());
      const std::span<const int32_t> own = slot == ours ? piece : std::span<const int32_t>(other);
      if (own.empty()) continue;
      if (slot == ours) first_row = std::ssize(rows);
      segments.push_back(
          {slot, static_cast<int32_t>(packed.size()), static_cast<int32_t>(own.size())});
      packed.insert(packed.end(), own.begin(), own.end());
      for (auto r = segments.back().begin; r < std::ssize(packed); ++r)
        if (slot == ours || random.from(0, 3) == 0) rows.push_back(r);
    }
    const Rows logits =
        engine.model().forward({packed, segments, rows}, {states->data, floats}, *workspace);
    for (int64_t i = 0; i < std::ssize(piece); ++i) {
      engine.backend().read(logits.data + (first_row + i) * logits.stride, row);
      every(fed++, row);
    }
  });
}

Job text_job(Random& random, Ids prompt) {
  Job job;
  job.prompt = std::move(prompt);
  job.options.max_tokens = random.from(1, 24);
  job.options.seed = static_cast<uint64_t>(random.from(0, 1 << 20));
  job.options.sampling.temperature = 1.5f;
  job.options.sampling.repeat_penalty = random.from(0, 1) ? 1.2f : 1.0f;
  job.options.logprobs = 2;
  job.options.ignore_eos = true;
  return job;
}

uint64_t hash_of(const GenerateResult& text) {
  Hasher hash;
  for (const int32_t id : text.ids) hash.add(id);
  for (const TokenLogprobs& token : text.logprobs) {
    hash.add(token.logprob);
    for (const ScoredToken& top : token.top) hash.add(top.logprob);
  }
  return hash.value();
}

// Alone in the reference; else one of some jobs, some of which begin as it does.
uint64_t hash_of_text(Engine& engine, const Setting& s) {
  Random of_input(s.input);
  const Job own = text_job(of_input, prompt_of(s, engine));
  if (s.chance == 0)
    return hash_of(generate(engine, *engine.session(), own.prompt, own.options, {}));
  Random random(s.chance);
  Scheduler scheduler(engine, static_cast<int32_t>(random.from(1, 6)));
  const int64_t count = random.from(1, 9), ours = random.from(0, count - 1);
  std::optional<uint64_t> found;
  for (int64_t i = 0; i < count || !scheduler.idle();) {
    if (i < count && (scheduler.wants_jobs() || scheduler.idle())) {
      Ids ids = random.ids(random.from(1, 60), engine.sampled_vocab());
      if (random.from(0, 1)) ids.insert(ids.begin(), own.prompt.begin(), own.prompt.end());
      Job job = i == ours ? own : text_job(random, std::move(ids));
      job.tag = static_cast<uint64_t>(i++);
      scheduler.submit(std::move(job));
      continue;
    }
    scheduler.step([&](JobResult&& result) {
      if (result.tag == static_cast<uint64_t>(ours)) found = hash_of(result.completions.at(0));
    });
  }
  return found.value();
}

const char* name_of(Way way) {
  switch (way) {
    case Way::whole: return "whole";
    case Way::steps: return "steps";
    case Way::interleaved: return "interleaved";
    case Way::values: return "values";
    case Way::batched: return "batched";
    case Way::text: return "text";
  }
  return "";
}

}  // namespace

std::string Subject::name() const {
  return model + " " + std::string(dtype_name(weights)) + " " + std::string(dtype_name(act));
}

std::string Setting::name() const {
  return subject.name() + " " + isa + ", " + name_of(way) + ", threads " + std::to_string(threads) +
         ", chunk " + std::to_string(chunk) + ", input " + std::to_string(input) + ", chance " +
         std::to_string(chance);
}

std::vector<Subject> subjects() {
  std::vector<Subject> all;
  // Of float32, of f16 and of bf16 as stored; the last one is trained.
  for (const char* model : {"plain", "f16", "falcon", "mamba2_groups", "mamba2_bf16", "induction"})
    for (const DType weights :
         {DType::f32, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_k, DType::q6_k}) {
      all.push_back({model, weights, DType::f32});
      if (weights == DType::bf16) all.push_back({model, weights, DType::bf16});
    }
  return all;
}

Setting reference_of(const Setting& setting) {
  Setting plain;
  plain.subject = setting.subject;
  plain.isa = setting.isa;
  plain.input = setting.input;
  plain.way = setting.way == Way::text ? Way::text : Way::whole;
  return plain;
}

Setting draw_setting(const Subject& subject, const std::string& isa, std::mt19937& random) {
  Setting s;
  s.subject = subject;
  s.isa = isa;
  s.threads = kThreads[random() % kThreads.size()];
  s.chunk = kChunks[random() % kChunks.size()];
  s.way = kWays[random() % kWays.size()];
  s.chance = static_cast<uint32_t>(random() | 1u);
  return s;
}

std::optional<uint64_t> hash_of(const Setting& s) {
  std::unique_ptr<Engine> engine;
  try {
    engine = open(s);
  } catch (const InputError&) {
    return std::nullopt;
  }
  if (s.way == Way::text) return hash_of_text(*engine, s);
  const Ids ids = prompt_of(s, *engine);
  Random random(s.chance);
  Hasher hash;
  int64_t seen = 0;
  const Every every = [&](int64_t, std::span<const float> logits) {
    add_to(hash, logits);
    ++seen;
  };
  switch (s.way) {
    case Way::steps: {
      const auto session = engine->session();
      for (const int32_t id : ids) {
        session->feed({&id, 1});
        every(0, session->logits());
      }
      break;
    }
    case Way::interleaved: feed_interleaved(*engine, ids, random, every); break;
    case Way::values: feed_values(*engine, ids, random, every); break;
    case Way::batched: feed_batched(*engine, ids, random, every); break;
    default: engine->session()->feed(ids, every);
  }
  KRAIT_CHECK(seen == std::ssize(ids));
  return hash.value();
}

}  // namespace krait::test
