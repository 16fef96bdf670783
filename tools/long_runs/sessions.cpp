#include <algorithm>
#include <filesystem>
#include <vector>

#include "tools/long_runs/runs.h"

namespace krait::long_runs {
namespace {

namespace fs = std::filesystem;

int64_t open_files() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

int64_t threads() {
  return std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator());
}

std::vector<int32_t> continue_from(Session& session, uint64_t seed) {
  std::vector<int32_t> ids;
  session.advance({}, seed, 0, 8, [&](int32_t id) {
    ids.push_back(id);
    return Verdict::feed;
  });
  return ids;
}

// The life of a session. Whether a fork, a snapshot and a saved state all go on as it does itself.
bool live(Engine& engine, uint64_t number, const std::string& path) {
  std::vector<int32_t> prompt;
  for (uint64_t i = 0; i < 16; ++i)
    prompt.push_back(static_cast<int32_t>((number >> i % 8) * 7 + i) % engine.sampled_vocab());
  const auto session = engine.session();
  session->feed(prompt);
  const Snapshot before = session->snapshot();
  const auto fork = session->fork();
  save_state(engine, {before, number}, path);
  const auto expected = continue_from(*session, number);
  bool same = continue_from(*fork, number) == expected;
  session->restore(before);
  same &= continue_from(*session, number) == expected;
  session->restore(load_state(engine, path).snapshot);
  same &= continue_from(*session, number) == expected;
  session->reset();
  return same && session->position() == 0;
}

}  // namespace

bool sessions(const Options& options) {
  const int64_t part = options.part(options.sessions);
  const fs::path folder = fs::temp_directory_path() / "krait_long_runs_sessions";
  fs::create_directories(folder);
  const std::string path = folder / "state.krait";
  const auto engine = open(options.model, options);
  live(*engine, 0, path);
  const int64_t files = open_files(), running = threads();

  Parts parts("Sessions opened and closed (" + options.model +
                  "), each forked, restored, saved and loaded; an engine for every tenth",
              "sessions");
  int64_t same = 0;
  for (int i = 0; i < kParts; ++i) {
    for (int64_t s = 0; s < part; ++s) {
      const auto number = static_cast<uint64_t>(i * part + s);
      same += live(number % 10 == 9 ? *open(options.model, options) : *engine, number, path);
    }
    parts.done(part);
  }
  bool good = parts.flat();
  good &=
      check(same == kParts * part, std::to_string(same) + " of " + std::to_string(kParts * part) +
                                       " sessions went on the same from fork, snapshot and file");
  good &=
      check(open_files() == files && threads() == running,
            std::to_string(files) + " files and " + std::to_string(running) + " threads before; " +
                std::to_string(open_files()) + " and " + std::to_string(threads()) + " after");
  fs::remove_all(folder);
  return good;
}

}  // namespace krait::long_runs
