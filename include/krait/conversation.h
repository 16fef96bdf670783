// A conversation with a model: messages, and the state of the model after each of them.
//
//   const ChatFormat format(*engine, "");
//   Conversation chat(*engine, format);
//   chat.say("Hello", options, on_text);
//   chat.undo(1);                            // nothing is read again, however long it has become
//   chat.fork("other");
//
// A turn reads what is new: the message, and what the template puts around it. Text that was read
// or written stays as it is in the state; only a template that rewrites what was said before (by
// leaving out reasoning, say) has the rewritten part read again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "krait/chat_format.h"
#include "krait/engine.h"
#include "krait/session.h"
#include "krait/state.h"

namespace krait {

class ConversationTree;
struct ConversationBranch;

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct TurnResult {
  GenerateResult answer;    // prompt_tokens: those of this turn, read_again included
  int64_t read_again = 0;   // tokens that had been read before, whose state was not kept
  bool taken_back = false;  // interrupted before the first word: the conversation is as before
};

struct BranchInfo {
  std::string name;
  int64_t turns = 0;
  int64_t tokens = 0;
  std::string last;  // the last message of the user; empty where there is none
  bool current = false;
};

struct ConversationCounts {
  int64_t turns = 0;    // of this branch
  int64_t tokens = 0;   // of this branch: what the state has seen
  int64_t read = 0;     // tokens of messages and templates, all branches, abandoned ones included
  int64_t written = 0;  // tokens of answers, as above
  int64_t read_again = 0;  // tokens read although they had been read or written before
  int64_t snapshots = 0;   // states kept
  int64_t snapshot_bytes = 0;
};

// Used by one thread at a time, others by other threads (engine.h). Ends before its engine and
// format.
class Conversation {
 public:
  // States take up to `snapshot_bytes` of memory (the newest ones at least); where they would take
  // more, only some of the older ones are kept, evenly spread, and going back to another one reads
  // the text in between again.
  Conversation(Engine& engine, const ChatFormat& format,
               int64_t snapshot_bytes = int64_t{512} << 20);
  ~Conversation();

  // Empty: none. Of this branch; what was said is read again under the new one with the next
  // message. Throws InputError, with nothing changed, when the template cannot be rendered with it.
  void set_system(std::string text);
  const std::string& system() const noexcept;

  // One turn: reads a message and writes the answer. `options` hold for this turn (sequence and
  // resumable are not looked at); the format's ends are added to its stops. After options.interrupt
  // the answer is what was written until then. Throws InputError with nothing changed, when the
  // template cannot be rendered or the text has no tokens.
  TurnResult say(std::string_view message, const GenerateOptions& options,
                 const std::function<bool(std::string_view)>& on_text);

  // Another answer in place of the last one. Throws InputError when there is none.
  TurnResult regenerate(const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& on_text);

  // Takes back the last `turns` turns, or as many as there are; returns how many.
  int64_t undo(int64_t turns);

  // Takes back everything that was said on this branch. The system message stays.
  void clear();

  // A new branch that begins here and becomes the current one. Throws InputError for a name that is
  // taken, empty, or longer than 100 bytes.
  void fork(const std::string& name);
  // Throws InputError for a name that does not exist.
  void switch_to(const std::string& name);
  const std::string& branch() const noexcept { return branch_; }
  std::vector<BranchInfo> branches() const;  // in the order of their names

  // Of this branch, the system message first.
  std::vector<ChatMessage> messages() const;

  ConversationCounts counts() const;

  // All of it, for save_state(). Reads text again where the state at the end of this branch was not
  // kept.
  SavedState save(uint64_t seed);

  // Puts the saved conversation in place of this one. A state without messages becomes the text
  // that a new conversation goes on from. Throws InputError, beginning with `path`, for notes that
  // are no conversation; nothing has changed then.
  void load(const SavedState& saved, const std::string& path);

 private:
  ConversationBranch& current();
  const ConversationBranch& current() const;
  ChatText render(const ConversationBranch& branch, int64_t tip, std::string_view guarded);
  int64_t add_message(std::string_view message);
  void forget_transcript();
  bool go_to(int64_t node, const std::atomic<bool>* interrupt, TurnResult* result);
  bool feed(int64_t node, const std::atomic<bool>* interrupt);
  TurnResult answer(int64_t message, const GenerateOptions& options, uint64_t sequence,
                    const std::function<bool(std::string_view)>& on_text, TurnResult result);
  void keep_state(int64_t node);
  void forget_abandoned();

  Engine& engine_;
  const ChatFormat& format_;
  std::unique_ptr<Session> session_;
  int64_t at_ = 0;  // the node whose state the session holds; -1: none
  std::unique_ptr<ConversationTree> tree_;
  struct Transcript;
  std::unique_ptr<Transcript> transcript_;
  std::vector<ConversationBranch> branches_;  // sorted by name
  std::string branch_;
  int64_t max_snapshots_ = 0;
  int64_t read_ = 0, written_ = 0, read_again_ = 0;
};

}  // namespace krait
