// A conversation as JSON, which lies in a state file beside the state at the end of its current
// branch:
//   {"conversation": 1, "branch": "main",
//    "branches": [{"name": "main", "tip": 2, "system": ""}],
//    "nodes": [{"kind": "message", "parent": 0, "base": 0, "content": "Hello",
//               "text": "User: Hello\nAssistant:", "ids": [5, 17], "sequence": 0}, …]}
// Nodes are numbered from 1; their members are those of ConversationNode.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/engine/conversation_tree.h"

namespace krait {

std::string conversation_notes(const ConversationTree& tree,
                               std::span<const ConversationBranch> branches,
                               const std::string& branch);

struct SavedConversation {
  ConversationTree tree;                     // without states
  std::vector<ConversationBranch> branches;  // at least one, sorted by name
  std::string branch;                        // the name of one of them
};

// Throws InputError naming `path`, the member, what was found and what was expected for anything
// but a whole conversation over ids below `embedding_rows`.
SavedConversation read_conversation(const std::string& notes, const std::string& path,
                                    int64_t embedding_rows);

// A conversation without messages that goes on from other text.
SavedConversation conversation_after(std::span<const int32_t> ids, const std::string& branch);

}  // namespace krait
