// What was said in a conversation and all its branches, and the states that are kept of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "krait/state.h"

namespace krait {

// One step of a conversation. Nodes are values in a map from ascending numbers; parents and bases
// come before their children. 0 is the empty conversation.
struct ConversationNode {
  enum class Kind { start, text, message, answer };  // text: read before the conversation began

  Kind kind = Kind::start;
  int64_t parent = 0;   // what was said before
  int64_t base = 0;     // what its ids follow in the state: the parent, or, where a template has
                        // rewritten what was said, the last ancestor that still holds
  std::string content;  // of the message
  std::string guarded;  // the same as ChatFormat renders it
  std::vector<int32_t> ids;  // read or written after the base
  std::string text;          // what they stand for in the rendered conversation
  int64_t position = 0;      // tokens from the beginning to here
  uint64_t sequence = 0;     // answer: that of its draws. message: that of its last answer
  Snapshot snapshot;         // without ids; null where it is not kept
};

inline constexpr const char* kFirstBranch = "main";

struct ConversationBranch {
  std::string name;
  int64_t tip = 0;  // the node it ends in
  std::string system;
};

class ConversationTree {
 public:
  using Node = ConversationNode;

  ConversationTree() { nodes_[0]; }

  // Gives it the next number.
  int64_t add(Node node);
  Node& at(int64_t number) { return nodes_.at(number); }
  const Node& at(int64_t number) const { return nodes_.at(number); }
  const std::map<int64_t, Node>& nodes() const noexcept { return nodes_; }

  // The messages and answers from the first one to `number`.
  std::vector<int64_t> path(int64_t number) const;
  // How many of them are messages.
  int64_t turns(int64_t number) const;
  // The turn that `number` belongs to: its message, or 0.
  int64_t message_of(int64_t number) const;

  // What the state at `number` has read, from the beginning: the last `count` ids, and the text.
  std::vector<int32_t> last_ids(int64_t number, int64_t count) const;
  std::string text(int64_t number) const;

  // The last of `number` and the bases below it whose whole text `text` begins with, and the length
  // of that text.
  struct Prefix {
    int64_t node = 0;
    size_t length = 0;
  };
  Prefix longest_prefix(int64_t number, std::string_view text) const;

  // Removes all that does not lead to one of `tips`.
  void retain(std::span<const int64_t> tips);

  int64_t snapshots() const noexcept { return snapshots_; }
  void keep(int64_t number, Snapshot snapshot);
  // Gives states up until `most` are left, so that those left lie as evenly as can be: whichever
  // leaves the shortest way to be read again goes first. Those of `number` and the three before it
  // stay, and those of `tips` as long as others are there to go.
  void thin_out(int64_t most, int64_t number, std::span<const int64_t> tips);

 private:
  int64_t cheapest(const std::set<int64_t>& kept_back) const;

  std::map<int64_t, Node> nodes_;
  int64_t snapshots_ = 0;
};

}  // namespace krait
