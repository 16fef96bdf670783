// Going back, branching, and files: what needs no model.
#include <algorithm>
#include <limits>
#include <utility>

#include "krait/conversation.h"
#include "krait/error.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/engine/conversation_file.h"
#include "src/engine/conversation_tree.h"

namespace krait {
namespace {

using Kind = ConversationNode::Kind;

constexpr size_t kMaxNameBytes = 100;

int64_t bytes_of(const SequenceState& state) {
  return static_cast<int64_t>((state.planes.size() + state.logits.size()) * sizeof(float));
}

}  // namespace

int64_t Conversation::undo(int64_t turns) {
  int64_t undone = 0;
  for (; undone < turns; ++undone) {
    const int64_t message = tree_->message_of(current().tip);
    if (message == 0) break;
    current().tip = tree_->at(message).parent;
  }
  forget_abandoned();
  return undone;
}

void Conversation::clear() {
  current().tip = 0;
  forget_abandoned();
}

void Conversation::fork(const std::string& name) {
  if (name.empty() || name.size() > kMaxNameBytes || !is_valid_utf8(name))
    throw InputError("a branch needs a name of 1 to " + std::to_string(kMaxNameBytes) + " bytes");
  if (std::ranges::count(branches_, name, &ConversationBranch::name) > 0)
    throw InputError("there is a branch " + quote(name) + " already");
  ConversationBranch branch = current();
  branch.name = name;
  const auto place = std::ranges::lower_bound(branches_, name, {}, &ConversationBranch::name);
  branches_.insert(place, std::move(branch));
  branch_ = name;
}

void Conversation::switch_to(const std::string& name) {
  if (std::ranges::count(branches_, name, &ConversationBranch::name) == 0)
    throw InputError("there is no branch " + quote(name));
  branch_ = name;
}

std::vector<BranchInfo> Conversation::branches() const {
  std::vector<BranchInfo> out;
  for (const ConversationBranch& branch : branches_) {
    const int64_t message = tree_->message_of(branch.tip);
    out.push_back({branch.name, tree_->turns(branch.tip), tree_->at(branch.tip).position,
                   message == 0 ? "" : tree_->at(message).content, branch.name == branch_});
  }
  return out;
}

std::vector<ChatMessage> Conversation::messages() const {
  std::vector<ChatMessage> out;
  if (!current().system.empty()) out.push_back({"system", current().system});
  for (const int64_t number : tree_->path(current().tip)) {
    const ConversationNode& node = tree_->at(number);
    out.push_back({node.kind == Kind::answer ? "assistant" : "user", node.content});
  }
  return out;
}

ConversationCounts Conversation::counts() const {
  const int64_t tip = current().tip;
  ConversationCounts counts{.turns = tree_->turns(tip),
                            .tokens = tree_->at(tip).position,
                            .read = read_,
                            .written = written_,
                            .read_again = read_again_,
                            .snapshots = tree_->snapshots()};
  for (const auto& [number, node] : tree_->nodes())
    if (node.snapshot) counts.snapshot_bytes += bytes_of(*node.snapshot);
  return counts;
}

// ---- files ----------------------------------------------------------------------------------

SavedState Conversation::save(uint64_t seed) {
  const int64_t tip = current().tip;
  forget_abandoned();
  go_to(tip, nullptr, nullptr);
  SequenceState state = *session_->snapshot();
  state.ids = tree_->last_ids(tip, state.position);
  return {std::make_shared<const SequenceState>(std::move(state)), seed, 0,
          engine_.model().weight_dtype(), conversation_notes(*tree_, branches_, branch_)};
}

void Conversation::load(const SavedState& saved, const std::string& path) {
  const SequenceState& state = *saved.snapshot;
  if (std::ssize(state.ids) != state.position)
    throw InputError(path + ": the state keeps no ids of its tokens, which a chat needs");
  SavedConversation read =
      saved.notes.empty()
          ? conversation_after(state.ids, kFirstBranch)
          : read_conversation(saved.notes, path, engine_.model().config().embedding_rows);
  const auto current_branch =
      std::ranges::find(read.branches, read.branch, &ConversationBranch::name);
  const int64_t tip = current_branch->tip;
  if (read.tree.last_ids(tip, std::numeric_limits<int64_t>::max()) != state.ids)
    throw InputError(path + ": the conversation is not that of the state beside it");
  for (const ConversationBranch& branch : read.branches)
    for (const int64_t number : read.tree.path(branch.tip)) {
      ConversationNode& node = read.tree.at(number);
      node.guarded = format_.guard(node.content);
    }
  SequenceState kept = state;
  kept.ids = {};
  session_->restore(std::make_shared<const SequenceState>(std::move(kept)));
  *tree_ = std::move(read.tree);
  forget_transcript();
  branches_ = std::move(read.branches);
  branch_ = std::move(read.branch);
  at_ = tip;
  if (tip != 0) keep_state(tip);
}

}  // namespace krait
