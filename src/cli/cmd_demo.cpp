#include <algorithm>
#include <limits>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "krait/demo.h"
#include "krait/error.h"
#include "krait/model_list.h"
#include "src/cli/command.h"
#include "src/cli/demo_output.h"

namespace krait::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples =
    R"(tale: the model, by default the bundled one, writes. recall: it is told facts,
tells tales, and is asked for the facts (where it has a chat template).
induction, copying: the recall tasks of the Mamba paper by bundled models, each
beside a twin of the same size whose recurrence does not depend on the input
(S4D): what selectivity is good for. Without names, all that can be shown.

Without --sequences there are up to 20 of each length, and at most 2,097,152
tokens of one length. The accuracies of a seed are always the same.

Examples:
  krait demo
  krait demo --quick
  krait demo induction --sequences 100
  krait demo copying --max-length 65536 --json)";

constexpr int64_t kDefaultSequences = 20, kQuickSequences = 4;
constexpr int64_t kTokensOfALength = 1 << 21;  // without --sequences
constexpr int64_t kQuickLength = 4096;
constexpr const char* kPrompt = "Once upon a time";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  std::vector<std::string> names;
  bool quick = false;
  std::optional<int64_t> sequences;
  std::optional<int64_t> max_length;
  uint64_t seed = 1;
};

// The longest without --max-length; the next length of the table.
struct Lengths {
  int64_t first, factor, last;
};
Lengths lengths_of(RecallTask task) {
  return task == RecallTask::induction ? Lengths{256, 4, 1 << 20} : Lengths{256, 2, 4096};
}

// Shows what part of the work is done.
class Progress {
 public:
  Progress(Console& console, std::string what, int64_t total)
      : console_(console), what_(std::move(what)), total_(total) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(int64_t done) {
    done_ += done;
    const int64_t percent = 100 * done_ / std::max<int64_t>(total_, 1);
    if (percent == std::exchange(shown_, percent)) return;
    console_.progress(progress_bar(what_, 0.01 * static_cast<double>(percent)));
  }
  void clear() {
    console_.progress("");
    shown_ = -1;
  }

 private:
  Console& console_;
  std::string what_;
  int64_t total_, done_ = 0, shown_ = -1;
};

std::unique_ptr<Engine> open(const Flags& flags, const std::string& model) {
  OpenOptions options = flags.open;
  options.model = model;
  options.tokenizer.clear();
  return open_engine(options);
}

// ---- a tale -----------------------------------------------------------------------------------

bool show_tale(const Flags& flags, Console& console, Json& json) {
  const auto engine = open_engine(flags.open);
  const auto session = engine->session();
  GenerateOptions options;
  options.max_tokens = flags.quick ? 60 : 150;
  options.seed = flags.seed;
  options.interrupt = &Console::interrupted();
  Progress progress(console, "tale", options.max_tokens);
  const GenerateResult result =
      generate(*engine, *session, engine->encode_prompt(kPrompt), options, [&](std::string_view) {
        progress.add(1);
        return true;
      });
  progress.clear();
  if (result.finish_reason == FinishReason::interrupted) return false;
  const Timings& t = result.timings;
  const TaleReport report{demo_model(*engine), kPrompt, result.text, std::ssize(result.ids),
                          1e3 * static_cast<double>(t.decode_steps) / std::max(t.decode_ms, 1e-3)};
  json["tale"] = to_json(report);
  if (!flags.output.json) console.write(demo_title("tale") + to_text(report) + "\n");
  return true;
}

// ---- facts after a distraction ----------------------------------------------------------------

bool show_remembering(const Flags& flags, Console& console, Json& json) {
  const auto engine = open_engine(flags.open);
  if (!engine->chat_source().text)
    throw InputError(engine->name() + " has no chat template: it cannot be told and asked");
  const ChatFormat format(*engine, "");
  RememberOptions options;
  options.seed = flags.seed;
  options.stop = &Console::interrupted();
  if (flags.quick) options.turns = 4;
  Progress progress(console, "recall", remembering_turns(options));
  const auto result = measure_remembering(*engine, format, options, [&] { progress.add(1); });
  progress.clear();
  if (!result) return false;
  json["recall"] = to_json(*result);
  if (!flags.output.json) console.write(demo_title("recall") + to_text(*result) + "\n");
  return true;
}

// ---- induction and copying --------------------------------------------------------------------

std::vector<RecallOptions> recall_plan(const Flags& flags, RecallTask task) {
  const Lengths lengths = lengths_of(task);
  const int64_t longest =
      flags.max_length.value_or(flags.quick ? std::min(lengths.last, kQuickLength) : lengths.last);
  const int64_t most = flags.quick ? kQuickSequences : kDefaultSequences;
  std::vector<RecallOptions> plan;
  for (int64_t n = std::min(lengths.first, longest); n <= longest; n *= lengths.factor)
    plan.push_back({task, n,
                    flags.sequences.value_or(std::clamp(kTokensOfALength / n, int64_t{1}, most)),
                    flags.seed, &Console::interrupted()});
  return plan;
}

// Nothing when it was interrupted.
std::optional<RecallReport> show_task(const Flags& flags, Console& console, RecallTask task,
                                      bool has_twin) {
  const std::string name(to_string(task));
  const auto engine = open(flags, name);
  const auto twin = has_twin ? open(flags, name + "-lti") : nullptr;
  const ModelConfig& config = engine->model().config();
  RecallReport report{task, demo_model(*engine), {}, config.d_model, std::ssize(config.layers), {}};
  if (twin) report.twin = demo_model(*twin);
  const std::vector<RecallOptions> plan = recall_plan(flags, task);
  int64_t tokens = 0;
  for (const RecallOptions& part : plan) tokens += part.length * part.sequences * (twin ? 2 : 1);
  Progress progress(console, name, tokens);
  const auto write = [&](const std::string& text) {
    if (flags.output.json) return;
    progress.clear();
    console.write(text);
  };
  write(demo_title(name) + recall_head(report));
  const auto add = [&](int64_t done) { progress.add(done); };
  for (const RecallOptions& part : plan) {
    RecallRow row;
    const auto of_model = measure_recall(*engine, part, add);
    if (!of_model) return std::nullopt;
    row.model = *of_model;
    if (twin && !(row.twin = measure_recall(*twin, part, add))) return std::nullopt;
    row.transformer = transformer_cost(config, part.length);
    write(recall_line(report, row));
    report.rows.push_back(row);
  }
  write("\n");
  return report;
}

// ---- all of them ------------------------------------------------------------------------------

constexpr const char* kNames = "tale|recall|induction|copying";

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What the bundled models can show, in the order of the report.
std::vector<std::string> shown_by_default(const OpenOptions& open,
                                          const std::vector<std::string>& models) {
  std::vector<std::string> names = {"tale"};
  if (chat_template(open_model_files(open))) names.push_back("recall");
  for (const char* task : {"induction", "copying"})
    if (has(models, task)) names.push_back(task);
  return names;
}

int run(const Flags& flags, Console& console) {
  const std::vector<std::string> models = model_names();
  const std::vector<std::string> names =
      flags.names.empty() ? shown_by_default(flags.open, models) : flags.names;
  Json json = {{"seed", flags.seed}};
  std::optional<RecallReport> longest;
  for (const std::string& name : names) {
    if (name == "tale" && !show_tale(flags, console, json)) return kExitInterrupted;
    if (name == "recall" && !show_remembering(flags, console, json)) return kExitInterrupted;
    if (name == "tale" || name == "recall") continue;
    const RecallTask task = name == "induction" ? RecallTask::induction : RecallTask::copying;
    const auto report = show_task(flags, console, task, has(models, name + "-lti"));
    if (!report) return kExitInterrupted;
    json[name] = to_json(*report);
    if (!longest || longest->rows.back().model.length < report->rows.back().model.length)
      longest = report;
  }
  if (flags.output.json)
    console.write_json(json);
  else if (longest)
    console.write(recall_foot(*longest));
  return kExitSuccess;
}

void add_names(CLI::App& app, const std::shared_ptr<Flags>& flags) {
  const auto set = [=](const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (name != "tale" && name != "recall" && name != "induction" && name != "copying")
        throw InputError(
            fmt::format("DEMO {}: expected tale, recall, induction or copying", escaped(name)));
      flags->names.push_back(name);
    }
  };
  app.add_option_function<std::vector<std::string>>("DEMO", set, "What to show (default: all)")
      ->type_name(kNames)
      ->expected(0, -1);
}

}  // namespace

Command add_demo(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "demo", "See what the bundled models remember, over up to a million tokens");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  add_names(*app, flags);
  app->add_flag("--quick", flags->quick, "Fewer and shorter sequences: a few seconds")
      ->group("Demonstration");
  add_integer(*app, "--sequences", 1, 100000, "Random sequences of each length", [=](int64_t n) {
    flags->sequences = n;
  })->group("Demonstration");
  add_integer(*app, "--max-length", kLeastRecallLength, int64_t{1} << 32,
              "Longest sequence, in tokens (default 1048576 for induction, 4096 for copying)",
              [=](int64_t n) { flags->max_length = n; })
      ->group("Demonstration");
  add_integer(*app, "-s,--seed", 0, std::numeric_limits<int64_t>::max(),
              "Seed of the sequences and the tale (default 1)",
              [=](int64_t n) { flags->seed = static_cast<uint64_t>(n); })
      ->group("Demonstration");
  add_model_flags(*app, flags->open);
  add_machine_flags(*app, flags->open);
  add_output_flags(*app, flags->output);
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
