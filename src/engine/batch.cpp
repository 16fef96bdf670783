// The loop of a batch: lines in, jobs through the scheduler, results out.
#include "krait/batch.h"

#include <optional>
#include <string_view>
#include <unordered_map>

#include <fcntl.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/clock.h"
#include "src/base/file.h"
#include "src/base/hash.h"
#include "src/base/line_reader.h"
#include "src/engine/batch_request.h"
#include "src/engine/batch_response.h"
#include "src/engine/batch_results.h"
#include "src/engine/scheduler.h"

namespace krait {
namespace {

constexpr std::string_view kTooLong = "too long";  // in place of such a line

// The file of prompts; "-" is standard input.
class Input {
 public:
  explicit Input(const std::string& path) {
    if (path == "-") return;
    file_ = Descriptor(path, O_RDONLY);
    if (!file_) throw_errno("open", path);
    struct stat status = {};
    if (::fstat(file_.number(), &status) == 0 && S_ISREG(status.st_mode)) bytes_ = status.st_size;
  }

  int descriptor() const noexcept { return file_ ? file_.number() : STDIN_FILENO; }
  int64_t bytes() const noexcept { return bytes_; }  // 0: unknown

 private:
  Descriptor file_;
  int64_t bytes_ = 0;
};

// What other weights, or otherwise rounded ones, would change.
uint64_t computed_by(Engine& engine) {
  Hasher hash;
  hash.add(engine.fingerprint());
  hash.add(dtype_name(engine.model().weight_dtype()));
  hash.add(dtype_name(engine.backend().info().act));
  return hash.value();
}

class Batch {
 public:
  Batch(Engine& engine, const BatchOptions& options)
      : engine_(engine),
        options_(options),
        input_(options.input),
        lines_(input_.descriptor(), options.input == "-" ? "standard input" : options.input,
               options.max_line_bytes, options.interrupt),
        computed_by_(computed_by(engine)),
        results_(options.results, computed_by_),
        scheduler_(engine, options.slots),
        format_(options.format) {
    progress_.finished = progress_.resumed = results_.found_finished();
    progress_.failed = results_.found_failed();
    progress_.repaired_bytes = results_.repaired_bytes();
    progress_.total_bytes = input_.bytes();
  }

  BatchProgress run(const std::function<void(const BatchProgress&)>& on_progress) {
    bool more = true;
    while (!stopped()) {
      while (more && scheduler_.wants_jobs() && !stopped()) more = take_line();
      if (scheduler_.idle()) break;
      scheduler_.step([this](JobResult&& result) { finish(std::move(result)); });
      update();
      if (on_progress) on_progress(progress_);
    }
    results_.close();
    update();
    progress_.interrupted = stopped();
    return progress_;
  }

 private:
  struct Pending {
    std::string id;
    BatchRequest request;
  };

  bool stopped() const {
    return options_.interrupt && options_.interrupt->load(std::memory_order_relaxed);
  }

  void update() {
    progress_.input_bytes = lines_.bytes_read();
    progress_.completion_tokens = scheduler_.tokens_written();
    progress_.seconds = watch_.ms() / 1000;
  }

  // False at the end of the input.
  bool take_line() {
    std::optional<std::string_view> line;
    try {
      line = lines_.next();
    } catch (const LineTooLong& e) {
      if (!results_.is_finished(lines_.line(), kTooLong))
        fail(BatchResults::id_of(lines_.line(), kTooLong, computed_by_), "", "invalid_request",
             e.what());
      return true;
    }
    if (!line) return false;
    if (line->find_first_not_of(" \t") == std::string_view::npos) return true;
    if (format_ == BatchFormat::automatic)
      format_ = line->front() == '{' ? BatchFormat::json : BatchFormat::text;
    if (results_.is_finished(lines_.line(), *line)) return true;
    const std::string id = BatchResults::id_of(lines_.line(), *line, computed_by_);
    try {
      submit({id, read_request(*line)});
    } catch (const InputError& e) {
      const std::string custom_id = format_ == BatchFormat::json ? custom_id_of(*line) : "";
      fail(id, custom_id, "invalid_request", e.what());
    }
    return true;
  }

  BatchRequest read_request(std::string_view line) const {
    BatchRequest request;
    if (format_ == BatchFormat::json) {
      request = parse_json_request(line, options_.defaults);
    } else {
      request.options = options_.defaults;
      request.prompt = line;
    }
    if (!request.has_seed) request.options.seed = options_.seed + lines_.line();
    return request;
  }

  std::vector<int32_t> prompt_ids(const BatchRequest& request) const {
    if (!request.prompt_ids.empty()) return request.prompt_ids;
    if (!request.chat) return engine_.encode_prompt(request.prompt);
    if (!options_.chat) throw InputError("messages: " + engine_.name() + " has no chat template");
    return chat_prompt(*options_.chat, request.messages, request.tools);
  }

  void submit(Pending pending) {
    Job job;
    job.tag = next_tag_;
    job.prompt = prompt_ids(pending.request);
    job.options = pending.request.options;
    if (pending.request.chat) add_ends(*options_.chat, job.options);
    job.completions = pending.request.best_of;
    scheduler_.submit(std::move(job));
    pending_.emplace(next_tag_++, std::move(pending));
  }

  void finish(JobResult&& result) {
    const auto found = pending_.find(result.tag);
    const Pending& pending = found->second;
    progress_.prompt_tokens += result.prompt_tokens;
    progress_.cached_tokens += result.cached_tokens;
    if (!result.error.empty()) {
      fail(pending.id, pending.request.custom_id, "failed", result.error);
    } else {
      results_.append(response_line(pending.id, pending.request, result, engine_));
      ++progress_.finished;
    }
    pending_.erase(found);
  }

  void fail(const std::string& id, const std::string& custom_id, const std::string& code,
            const std::string& message) {
    results_.append(error_line(id, custom_id, code, message));
    ++progress_.finished;
    ++progress_.failed;
  }

  Engine& engine_;
  const BatchOptions& options_;
  Stopwatch watch_;
  Input input_;
  LineReader lines_;
  uint64_t computed_by_;
  BatchResults results_;
  Scheduler scheduler_;
  BatchFormat format_;
  BatchProgress progress_;
  std::unordered_map<uint64_t, Pending> pending_;
  uint64_t next_tag_ = 0;
};

}  // namespace

BatchProgress run_batch(Engine& engine, const BatchOptions& options,
                        const std::function<void(const BatchProgress&)>& on_progress) {
  return Batch(engine, options).run(on_progress);
}

}  // namespace krait
