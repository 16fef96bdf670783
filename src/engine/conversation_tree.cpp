#include "src/engine/conversation_tree.h"

#include <algorithm>
#include <utility>

namespace krait {

int64_t ConversationTree::add(Node node) {
  const int64_t number = nodes_.rbegin()->first + 1;
  if (node.snapshot) ++snapshots_;
  nodes_.emplace(number, std::move(node));
  return number;
}

std::vector<int64_t> ConversationTree::path(int64_t number) const {
  std::vector<int64_t> out;
  for (; number != 0; number = at(number).parent)
    if (at(number).kind != Node::Kind::text) out.push_back(number);
  std::reverse(out.begin(), out.end());
  return out;
}

int64_t ConversationTree::turns(int64_t number) const {
  int64_t count = 0;
  for (; number != 0; number = at(number).parent) count += at(number).kind == Node::Kind::message;
  return count;
}

int64_t ConversationTree::message_of(int64_t number) const {
  while (number != 0 && at(number).kind != Node::Kind::message) number = at(number).parent;
  return number;
}

std::vector<int32_t> ConversationTree::last_ids(int64_t number, int64_t count) const {
  std::vector<int32_t> out;
  for (; number != 0 && std::ssize(out) < count; number = at(number).base) {
    const std::vector<int32_t>& ids = at(number).ids;
    const auto wanted = std::min<int64_t>(std::ssize(ids), count - std::ssize(out));
    out.insert(out.end(), ids.rbegin(), ids.rbegin() + wanted);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::string ConversationTree::text(int64_t number) const {
  std::vector<const std::string*> parts;
  for (; number != 0; number = at(number).base) parts.push_back(&at(number).text);
  std::string out;
  for (auto it = parts.rbegin(); it != parts.rend(); ++it) out += **it;
  return out;
}

ConversationTree::Prefix ConversationTree::longest_prefix(int64_t number,
                                                          std::string_view text_wanted) const {
  const std::string own = text(number);
  const size_t most = std::min(own.size(), text_wanted.size());
  const auto same = static_cast<size_t>(
      std::mismatch(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(most),
                    text_wanted.begin())
          .first -
      own.begin());
  size_t length = own.size();
  while (length > same) {
    length -= at(number).text.size();
    number = at(number).base;
  }
  return {number, length};
}

void ConversationTree::retain(std::span<const int64_t> tips) {
  std::set<int64_t> wanted(tips.begin(), tips.end());
  wanted.insert(0);
  for (auto it = wanted.rbegin(); it != wanted.rend(); ++it) {  // parents lie ahead of it
    wanted.insert(at(*it).parent);
    wanted.insert(at(*it).base);
  }
  std::erase_if(nodes_, [&](const auto& entry) {
    if (wanted.contains(entry.first)) return false;
    if (entry.second.snapshot) --snapshots_;
    return true;
  });
}

void ConversationTree::keep(int64_t number, Snapshot snapshot) {
  Node& node = at(number);
  if (!node.snapshot) ++snapshots_;
  node.snapshot = std::move(snapshot);
}

// Of the states that may go, the one whose absence costs least: the way from the one before it to
// the furthest of those read from it. 0: none may go.
int64_t ConversationTree::cheapest(const std::set<int64_t>& kept_back) const {
  struct Way {
    int64_t kept = 0;   // the nearest state at or below the node
    int64_t after = 0;  // tokens to the furthest node that is read from this one's state
  };
  std::map<int64_t, Way> ways;
  for (const auto& [number, node] : nodes_) {
    if (number == 0) {
      ways[0];
      continue;
    }
    const int64_t below = ways[node.base].kept;
    const int64_t tokens = node.position - at(below).position;
    ways[below].after = std::max(ways[below].after, tokens);
    ways[number].kept = node.snapshot ? number : below;
  }
  int64_t best = 0, best_cost = 0;
  for (const auto& [number, node] : nodes_) {
    if (!node.snapshot || kept_back.contains(number)) continue;
    const int64_t below = ways[node.base].kept;
    const int64_t cost = node.position - at(below).position + ways[number].after;
    if (best != 0 && cost >= best_cost) continue;
    best = number;
    best_cost = cost;
  }
  return best;
}

void ConversationTree::thin_out(int64_t most, int64_t number, std::span<const int64_t> tips) {
  constexpr int kNewest = 4;
  if (snapshots_ <= most) return;
  std::set<int64_t> newest;
  for (int i = 0; i < kNewest && number != 0; ++i, number = at(number).base) newest.insert(number);
  std::set<int64_t> kept_back = newest;
  kept_back.insert(tips.begin(), tips.end());
  while (snapshots_ > most) {
    int64_t victim = cheapest(kept_back);
    if (victim == 0) victim = cheapest(newest);
    if (victim == 0) return;
    at(victim).snapshot = nullptr;
    --snapshots_;
  }
}

}  // namespace krait
