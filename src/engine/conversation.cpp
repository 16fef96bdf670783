#include "krait/conversation.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/base/clock.h"
#include "src/base/utf8.h"
#include "src/engine/answer.h"
#include "src/engine/continuation.h"
#include "src/engine/conversation_tree.h"

namespace krait {
namespace {

using nlohmann::ordered_json;
using Kind = ConversationNode::Kind;

void append_message(ordered_json& messages, const char* role, std::string_view guarded) {
  ordered_json message = ordered_json::object();
  message["role"] = role;
  message["content"] = guarded;
  messages.push_back(std::move(message));
}

}  // namespace

// The messages that were rendered last, so that the next turn only adds its own.
struct Conversation::Transcript {
  ordered_json messages = ordered_json::array();
  std::string system;
  int64_t tip = 0;
};

Conversation::Conversation(Engine& engine, const ChatFormat& format, int64_t snapshot_bytes)
    : engine_(engine),
      format_(format),
      session_(engine.session(History::discard)),  // the tree knows the ids, once for all states
      tree_(std::make_unique<ConversationTree>()),
      transcript_(std::make_unique<Transcript>()),
      branches_{ConversationBranch{kFirstBranch, 0, ""}},
      branch_(kFirstBranch) {
  const int64_t each = engine.model().state_layout().bytes_per_slot() +
                       engine.model().config().embedding_rows * static_cast<int64_t>(sizeof(float));
  max_snapshots_ = std::max<int64_t>(1, snapshot_bytes / each);
}

Conversation::~Conversation() = default;

ConversationBranch& Conversation::current() {
  return *std::ranges::find(branches_, branch_, &ConversationBranch::name);
}

const ConversationBranch& Conversation::current() const {
  return *std::ranges::find(branches_, branch_, &ConversationBranch::name);
}

// ---- what is to be read ---------------------------------------------------------------------

// The conversation up to `tip` and a message behind it, as the model is to see it.
ChatText Conversation::render(const ConversationBranch& branch, int64_t tip,
                              std::string_view guarded) {
  std::unique_ptr<Transcript> transcript =
      std::exchange(transcript_, std::make_unique<Transcript>());  // gone, if this fails
  std::vector<int64_t> added;
  int64_t from = tip;
  for (; from != 0 && from != transcript->tip; from = tree_->at(from).parent)
    if (tree_->at(from).kind != Kind::text) added.push_back(from);
  ordered_json& messages = transcript->messages;
  if (from == 0 || transcript->system != branch.system) {
    *transcript = {.system = branch.system};
    added = tree_->path(tip);
    std::ranges::reverse(added);
    if (!branch.system.empty()) append_message(messages, "system", format_.guard(branch.system));
  }
  for (auto it = added.rbegin(); it != added.rend(); ++it) {
    const ConversationNode& node = tree_->at(*it);
    append_message(messages, node.kind == Kind::answer ? "assistant" : "user", node.guarded);
  }
  transcript->tip = tip;
  append_message(messages, "user", guarded);
  ChatText text = format_.render(messages, nullptr, {});
  messages.erase(messages.size() - 1);
  transcript_ = std::move(transcript);
  return text;
}

void Conversation::forget_transcript() { *transcript_ = {}; }

void Conversation::set_system(std::string text) {
  ConversationBranch changed = current();
  changed.system = repair_utf8(text);
  render(changed, 0, "Hello");
  current() = std::move(changed);
}

const std::string& Conversation::system() const noexcept { return current().system; }

// The node for a message after the current tip. Nothing is read yet.
int64_t Conversation::add_message(std::string_view message) {
  ConversationNode node;
  node.kind = Kind::message;
  node.parent = current().tip;
  node.content = repair_utf8(message);
  node.guarded = format_.guard(node.content);
  const ChatText text = render(current(), node.parent, node.guarded);
  const auto [base, length] = tree_->longest_prefix(node.parent, text.text);
  node.base = base;
  node.text = text.text.substr(length);
  node.ids = format_.encode(text, length, tree_->at(base).position > 0);
  node.position = tree_->at(base).position + std::ssize(node.ids);
  if (node.position == 0)
    throw InputError(format_.name() + ": the template makes no text of the message");
  return tree_->add(std::move(node));
}

// ---- states ---------------------------------------------------------------------------------

void Conversation::keep_state(int64_t number) {
  if (tree_->at(number).snapshot) return;
  tree_->keep(number, session_->snapshot());
  std::vector<int64_t> tips;
  for (const ConversationBranch& branch : branches_) tips.push_back(branch.tip);
  tree_->thin_out(max_snapshots_, number, tips);
}

// Reads a node's ids after those of its base, where the session stands. False: interrupted.
bool Conversation::feed(int64_t number, const std::atomic<bool>* interrupt) {
  const std::vector<int32_t>& ids = tree_->at(number).ids;
  at_ = -1;
  if (session_->feed(ids, {}, interrupt) < std::ssize(ids)) return false;
  at_ = number;
  keep_state(number);
  return true;
}

// Brings the session to a node, from the nearest state that is kept. False: interrupted.
bool Conversation::go_to(int64_t number, const std::atomic<bool>* interrupt, TurnResult* result) {
  std::vector<int64_t> way;
  int64_t from = number;
  while (from != 0 && from != at_ && !tree_->at(from).snapshot) {
    way.push_back(from);
    from = tree_->at(from).base;
  }
  if (from != at_) {
    at_ = -1;
    if (from == 0)
      session_->reset();
    else
      session_->restore(tree_->at(from).snapshot);
    at_ = from;
  }
  for (auto it = way.rbegin(); it != way.rend(); ++it) {
    const auto count = std::ssize(tree_->at(*it).ids);
    if (!feed(*it, interrupt)) return false;
    read_again_ += count;
    if (result) result->read_again += count;
  }
  return true;
}

void Conversation::forget_abandoned() {
  std::vector<int64_t> tips;
  for (const ConversationBranch& branch : branches_) tips.push_back(branch.tip);
  tree_->retain(tips);
  if (!tree_->nodes().contains(at_)) at_ = -1;
  if (!tree_->nodes().contains(transcript_->tip)) forget_transcript();
}

// ---- turns ----------------------------------------------------------------------------------

TurnResult Conversation::say(std::string_view message, const GenerateOptions& options,
                             const std::function<bool(std::string_view)>& on_text) {
  (void)Sampler(options.sampling, engine_.sampled_vocab(), options.seed);  // refuses before reading
  forget_abandoned();                                                      // of a turn that failed
  const int64_t number = add_message(message);
  const ConversationNode& node = tree_->at(number);
  const Stopwatch prefill;
  TurnResult result;
  const bool whole =
      go_to(node.base, options.interrupt, &result) && feed(number, options.interrupt);
  result.answer.timings.prefill_ms = prefill.ms();
  // Where the template has rewritten the end, some of this was read or written before.
  const int64_t rewritten = tree_->at(node.parent).position - tree_->at(node.base).position;
  const auto again = std::clamp<int64_t>(rewritten, 0, std::ssize(node.ids));
  if (whole) {
    read_ += std::ssize(node.ids) - again;
    read_again_ += again;
    result.answer.prompt_tokens = result.read_again + std::ssize(node.ids);
    result.read_again += again;
    result = answer(number, options, 0, on_text, std::move(result));
  }
  result.taken_back = !whole || current().tip == node.parent;
  if (!whole) result.answer.finish_reason = FinishReason::interrupted;
  if (result.taken_back) forget_abandoned();
  return result;
}

TurnResult Conversation::regenerate(const GenerateOptions& options,
                                    const std::function<bool(std::string_view)>& on_text) {
  (void)Sampler(options.sampling, engine_.sampled_vocab(), options.seed);
  const int64_t message = tree_->message_of(current().tip);
  if (message == 0) throw InputError("there is no answer yet to write again");
  const int64_t before = current().tip;
  TurnResult result;
  const Stopwatch prefill;
  if (go_to(message, options.interrupt, &result)) {
    result.answer.timings.prefill_ms = prefill.ms();
    result.answer.prompt_tokens = result.read_again;
    result = answer(message, options, tree_->at(message).sequence + 1, on_text, std::move(result));
  } else {
    result.answer.finish_reason = FinishReason::interrupted;
  }
  result.taken_back = current().tip == before;
  forget_abandoned();
  return result;
}

// Writes an answer to a message, which the session has just read, and makes it the branch's tip;
// not one that was interrupted before its first word.
TurnResult Conversation::answer(int64_t message, const GenerateOptions& options, uint64_t sequence,
                                const std::function<bool(std::string_view)>& on_text,
                                TurnResult result) {
  GenerateOptions own = options;
  own.sequence = sequence;
  own.resumable = true;  // a character that is cut off is no text of the answer
  add_ends(format_, own);
  const int32_t recent = own.sampling.penalty_last_n;
  constexpr int64_t kIncompleteCharacter = 4;
  const std::vector<int32_t> before =
      tree_->last_ids(message, recent < 0 ? std::numeric_limits<int64_t>::max()
                                          : std::max<int64_t>(recent, kIncompleteCharacter));
  Continuation text(engine_, own, before, on_text);

  const int64_t start = session_->position();
  const Stopwatch decoding;
  at_ = -1;
  Answer answer(*session_, own, text);
  answer.write();
  const bool goes_back = text.stopped() || (text.mid_character() && !text.ended_by_eos());
  GenerateResult written = text.take();
  written.prompt_tokens = result.answer.prompt_tokens;
  written.timings.load_ms = engine_.load_ms();
  written.timings.prefill_ms = result.answer.timings.prefill_ms;
  written.timings.decode_ms = decoding.ms();
  written.timings.decode_steps = session_->position() - start;
  written_ += std::ssize(written.ids);
  result.answer = std::move(written);
  if (answer.ids().empty() && result.answer.finish_reason == FinishReason::interrupted)
    return result;
  const size_t length = goes_back ? answer.go_back() : result.answer.text.size();
  ConversationNode node;
  node.kind = Kind::answer;
  node.parent = node.base = message;
  node.content = result.answer.text;
  node.guarded = format_.guard(node.content);
  node.text = node.content.substr(0, length);
  node.position = tree_->at(message).position + std::ssize(answer.ids());
  node.ids = answer.ids();
  node.sequence = sequence;
  tree_->at(message).sequence = sequence;
  current().tip = at_ = tree_->add(std::move(node));
  keep_state(at_);
  return result;
}

}  // namespace krait
