// A file of prompts, many at a time: `krait batch`. Results are those that every line alone would
// give, whatever the number of slots. Memory is bounded by the slots and the longest line (and one
// bit for each line of the input), not by the size of the files. Other threads may use the engine
// meanwhile; two batches with one results file are refused, also of two processes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "krait/chat_format.h"
#include "krait/engine.h"

namespace krait {

enum class BatchFormat { automatic, json, text };

struct BatchOptions {
  std::string input;                            // "-": standard input
  std::string results;                          // continued where it ends, if it exists
  BatchFormat format = BatchFormat::automatic;  // automatic: JSON if the first line begins with "{"
  int32_t slots = 16;                           // sequences that advance together
  size_t max_line_bytes = size_t{256} << 20;    // a longer line is one that cannot be done
  GenerateOptions defaults;                     // where a line says nothing
  // Without a seed of its own a line draws with `seed` plus its number, so that equal prompts get
  // different texts and a second run the same ones.
  uint64_t seed = 0;
  const ChatFormat* chat = nullptr;  // null: lines with messages are refused
  const std::atomic<bool>* interrupt = nullptr;
};

struct BatchProgress {
  int64_t finished = 0;  // lines with a result, failed ones and earlier runs' included
  int64_t failed = 0;
  int64_t resumed = 0;         // of these: found on file at the start
  int64_t repaired_bytes = 0;  // of a torn last line, cut away at the start
  int64_t prompt_tokens = 0;   // of this run
  int64_t cached_tokens =
      0;  // of these: not read, but copied from a prompt with the same beginning
  int64_t completion_tokens = 0;
  int64_t input_bytes = 0;  // read so far
  int64_t total_bytes = 0;  // of the input; 0: unknown
  double seconds = 0;
  bool interrupted = false;
};

// Runs until every line has a result. A line that cannot be done has one that says why. Throws
// InputError for files that cannot be used, Failure when results cannot be written.
BatchProgress run_batch(Engine& engine, const BatchOptions& options,
                        const std::function<void(const BatchProgress&)>& on_progress);

}  // namespace krait
