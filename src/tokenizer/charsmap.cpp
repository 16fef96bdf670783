#include <cstring>

#include "src/base/utf8.h"
#include "src/tokenizer/sentencepiece_model.h"

namespace krait {
namespace {

constexpr size_t kUnit = sizeof(uint32_t);
constexpr size_t kBlock = 256;  // units that one step of a walk may reach

uint32_t unit_at(std::string_view trie, size_t index) {
  uint32_t unit;
  std::memcpy(&unit, trie.data() + index * kUnit, kUnit);
  return unit;
}

// A unit is a leaf's value (bit 31) or a node: label in bits 0 to 7, bit 8 set when a leaf is
// among its children, and above them the offset of its children, shifted by 8 more with bit 9.
bool is_value(uint32_t unit) { return unit >> 31 != 0; }
size_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

bool starts_a_replacement(std::string_view replacements, size_t at) {
  return at < replacements.size() && (at == 0 || replacements[at - 1] == '\0');
}

}  // namespace

std::string charsmap_problem(std::string_view charsmap) {
  if (charsmap.empty()) return {};
  uint32_t trie_bytes = 0;
  if (charsmap.size() < kUnit) return "ends inside its first number";
  std::memcpy(&trie_bytes, charsmap.data(), kUnit);
  charsmap.remove_prefix(kUnit);
  if (trie_bytes == 0 || trie_bytes % (kBlock * kUnit) != 0 || trie_bytes >= charsmap.size())
    return "has a trie of " + std::to_string(trie_bytes) + " bytes; expected a multiple of " +
           std::to_string(kBlock * kUnit) + " below " + std::to_string(charsmap.size());
  const std::string_view trie = charsmap.substr(0, trie_bytes);
  const std::string_view replacements = charsmap.substr(trie_bytes);
  if (replacements.back() != '\0' || !is_valid_utf8(replacements))
    return "has replacements that are no UTF-8 ended by NUL";
  const size_t units = trie.size() / kUnit;
  // A walk starts at the first unit without asking what it is, and goes on to nodes only.
  if (is_value(unit_at(trie, 0))) return "has a trie that begins with a value";
  for (size_t i = 0; i < units; ++i) {
    const uint32_t unit = unit_at(trie, i);
    if (is_value(unit)) continue;
    const size_t children = i ^ offset_of(unit);
    if ((children | (kBlock - 1)) >= units)
      return "leads out of its trie at unit " + std::to_string(i);
    const bool has_leaf = (unit >> 8 & 1) != 0;
    const uint32_t leaf = unit_at(trie, children);
    if (has_leaf && (!is_value(leaf) || !starts_a_replacement(replacements, leaf & 0x7FFFFFFF)))
      return "leads out of its replacements at unit " + std::to_string(i);
  }
  return {};
}

}  // namespace krait
