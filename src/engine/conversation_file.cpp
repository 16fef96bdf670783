#include "src/engine/conversation_file.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/base/json.h"

namespace krait {
namespace {

using nlohmann::json;
using Kind = ConversationNode::Kind;

constexpr int64_t kVersion = 1;
constexpr const char* kKinds[] = {"start", "text", "message", "answer"};  // by Kind

class Reader {
 public:
  Reader(const std::string& notes, const std::string& path, int64_t rows)
      : where_(path + ": the conversation"), rows_(rows), document_(parse_json(notes, where_)) {}

  SavedConversation read() {
    require(document_.is_object(), "", document_, "an object");
    number(document_, "conversation", kVersion, kVersion);
    SavedConversation out;
    for (const json& node : list(document_, "nodes")) add_node(node, out.tree);
    last_ = out.tree.nodes().rbegin()->first;
    for (const json& branch : list(document_, "branches"))
      out.branches.push_back(
          {text(branch, "name"), number(branch, "tip", 0, last_), text(branch, "system")});
    std::ranges::sort(out.branches, {}, &ConversationBranch::name);
    if (std::ranges::adjacent_find(out.branches, {}, &ConversationBranch::name) !=
        out.branches.end())
      refuse("branches", "two of one name", "different names");
    out.branch = text(document_, "branch");
    if (!std::ranges::count(out.branches, out.branch, &ConversationBranch::name))
      refuse("branch", quote(out.branch), "the name of one of the branches");
    return out;
  }

 private:
  [[noreturn]] void refuse(const std::string& member, const std::string& found,
                           const std::string& expected) const {
    throw InputError(where_ + (member.empty() ? "" : ": " + member) + ": found " + found +
                     "; expected " + expected);
  }

  void require(bool condition, const std::string& member, const json& found,
               const std::string& expected) const {
    if (!condition) refuse(member, quote(found.dump()), expected);
  }

  const json& member(const json& object, const char* name) const {
    require(object.is_object(), "", object, "an object");
    const auto found = object.find(name);
    if (found == object.end()) refuse(name, "nothing", "a member of this name");
    return *found;
  }

  const json& list(const json& object, const char* name) const {
    const json& found = member(object, name);
    require(found.is_array(), name, found, "a list");
    return found;
  }

  std::string text(const json& object, const char* name) const {
    const json& found = member(object, name);
    require(found.is_string(), name, found, "a text");
    return found.get<std::string>();
  }

  int64_t number(const json& object, const char* name, int64_t least, int64_t most) const {
    const json& found = member(object, name);
    require_number(found, name, least, most);
    return found.get<int64_t>();
  }

  void require_number(const json& found, const char* name, int64_t least, int64_t most) const {
    const bool fits = found.is_number_unsigned() &&
                      found.get<uint64_t>() <= static_cast<uint64_t>(most) &&
                      found.get<int64_t>() >= least;
    require(fits, name, found,
            "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }

  void add_node(const json& given, ConversationTree& tree) const {
    const int64_t newest = tree.nodes().rbegin()->first;
    const std::string kind = text(given, "kind");
    const auto* found = std::find(std::begin(kKinds) + 1, std::end(kKinds), kind);
    if (found == std::end(kKinds)) refuse("kind", quote(kind), "text, message or answer");
    ConversationNode node;
    node.kind = static_cast<Kind>(found - std::begin(kKinds));
    node.parent = number(given, "parent", 0, newest);
    node.base = number(given, "base", 0, newest);
    node.content = text(given, "content");
    node.text = text(given, "text");
    node.sequence = static_cast<uint64_t>(number(given, "sequence", 0, int64_t{1} << 62));
    for (const json& id : list(given, "ids")) {
      require_number(id, "ids", 0, rows_ - 1);
      node.ids.push_back(id.get<int32_t>());
    }
    node.position = tree.at(node.base).position + std::ssize(node.ids);
    tree.add(std::move(node));
  }

  std::string where_;
  int64_t rows_;
  json document_;
  int64_t last_ = 0;
};

}  // namespace

std::string conversation_notes(const ConversationTree& tree,
                               std::span<const ConversationBranch> branches,
                               const std::string& branch) {
  std::map<int64_t, int64_t> numbers;
  json nodes = json::array();
  for (const auto& [number, node] : tree.nodes()) {
    numbers.emplace(number, std::ssize(numbers));
    if (number == 0) continue;
    nodes.push_back({{"kind", kKinds[static_cast<size_t>(node.kind)]},
                     {"parent", numbers.at(node.parent)},
                     {"base", numbers.at(node.base)},
                     {"content", node.content},
                     {"text", node.text},
                     {"ids", node.ids},
                     {"sequence", node.sequence}});
  }
  json list = json::array();
  for (const ConversationBranch& b : branches)
    list.push_back({{"name", b.name}, {"tip", numbers.at(b.tip)}, {"system", b.system}});
  const json document = {
      {"conversation", kVersion}, {"branch", branch}, {"branches", list}, {"nodes", nodes}};
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

SavedConversation read_conversation(const std::string& notes, const std::string& path,
                                    int64_t embedding_rows) {
  return Reader(notes, path, embedding_rows).read();
}

SavedConversation conversation_after(std::span<const int32_t> ids, const std::string& branch) {
  SavedConversation out;
  out.branch = branch;
  out.branches.push_back({branch, 0, ""});
  if (ids.empty()) return out;
  ConversationNode node;
  node.kind = Kind::text;
  node.ids.assign(ids.begin(), ids.end());
  node.position = std::ssize(ids);
  out.branches.front().tip = out.tree.add(std::move(node));
  return out;
}

}  // namespace krait
