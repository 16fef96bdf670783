// A conversation at the terminal: what is said, how it looks, and what can be set.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "krait/conversation.h"
#include "krait/engine.h"
#include "src/cli/console.h"
#include "src/cli/options.h"

namespace krait::cli {

struct ChatSettings {
  SamplingFlags sampling;
  int64_t max_tokens = 1024;
  uint64_t seed = 0;
  DType state_dtype = DType::f32;
  bool json = false;
  bool quiet = false;
  bool verbose = false;  // statistics after each answer
  bool wrap = true;      // lines between words, on a terminal
};

// Turns and settings; the commands work on it.
class Chat {
 public:
  // `interactive`: a person sits at a terminal.
  Chat(Engine& engine, const ChatFormat& format, ChatSettings settings, Console& console,
       bool interactive);

  // One turn: the answer appears on standard output as it is written. After Ctrl-C it is what was
  // written until then; the interrupt stays set for the caller to see.
  void say(std::string_view message);
  void regenerate();

  void save(const std::string& path);
  // Throws InputError with nothing changed.
  void load(const std::string& path, bool take_seed);

  // Settings by name: those of the sampling flags, max-tokens, seed, stop,
  // wrap.
  static std::vector<std::string> setting_names();
  std::string setting(const std::string& name) const;
  // Throws InputError for a name or value that does not exist.
  void set(const std::string& name, const std::string& value);

  // A line on standard error, whatever -q says: it was asked for.
  void show(std::string_view line) const;
  // The same, dim, unless -q or --json asked for none.
  void note(std::string_view line) const;
  std::string bold(std::string_view text) const { return styled("1", text); }
  std::string dim(std::string_view text) const { return styled("2", text); }

  Engine& engine() noexcept { return engine_; }
  const ChatFormat& format() const noexcept { return format_; }
  Conversation& conversation() noexcept { return conversation_; }
  const ChatSettings& settings() const noexcept { return settings_; }
  bool interactive() const noexcept { return interactive_; }
  const std::optional<TurnResult>& last() const noexcept { return last_; }

  void leave() noexcept { over_ = true; }
  bool over() const noexcept { return over_; }

 private:
  // Writes an answer as it comes.
  class Screen;

  std::string styled(const char* code, std::string_view text) const;
  GenerateOptions options() const;
  void finish(Screen& screen, TurnResult result);
  void write_json(const TurnResult& result);

  Engine& engine_;
  const ChatFormat& format_;
  ChatSettings settings_;
  Console& console_;
  bool interactive_;
  Conversation conversation_;
  std::optional<TurnResult> last_;
  bool over_ = false;
};

// "prefill 12 tokens, 0.01 s; decode …"
std::string statistics_of(const TurnResult& result);

}  // namespace krait::cli
