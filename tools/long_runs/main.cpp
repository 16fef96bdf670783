// Runs that are too long for the tests, which rehearse them at a small scale: memory and time must
// stay flat however long krait runs, and its float32 states must stay where double precision puts
// them. Prints Markdown; exit code 1 where something did not hold.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "tools/long_runs/runs.h"

namespace {

struct Run {
  std::string name;
  bool (*run)(const krait::long_runs::Options&);
};
const std::vector<Run> kRuns = {{"text", krait::long_runs::text},
                                {"lines", krait::long_runs::lines},
                                {"sessions", krait::long_runs::sessions},
                                {"drift", krait::long_runs::drift}};

int run(int argc, char** argv) {
  krait::long_runs::Options options;
  std::vector<std::string> names, chosen;
  for (const Run& r : kRuns) names.push_back(r.name);
  chosen = names;
  CLI::App app("Long runs: flat memory, flat time, no drift.");
  app.option_defaults()->always_capture_default();
  app.add_option("RUN", chosen, "which runs")->check(CLI::IsMember(names));
  app.add_option("--scale", options.scale, "of all the work")->check(CLI::Range(1e-6, 1e6));
  app.add_option("-m,--model", options.model, "that writes tokens and has the sessions");
  app.add_option("--text-model", options.text_model, "of the batch");
  app.add_option("--tokens", options.tokens, "text: tokens of the session");
  app.add_option("--lines", options.lines, "lines: of the batch");
  app.add_option("--sessions", options.sessions, "sessions: opened and closed");
  app.add_option("--steps", options.steps, "drift: of the recurrences");
  app.add_option("-t,--threads", options.threads)->check(CLI::Range(1, 1024));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  bool good = true;
  for (const Run& r : kRuns)
    if (std::find(chosen.begin(), chosen.end(), r.name) != chosen.end()) good &= r.run(options);
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "long_runs: %s\n", error.what());
    return 1;
  }
}
