// The operators of the language on values, with Python's rules.
#pragma once

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "src/template/run.h"
#include "src/template/value.h"

namespace krait::jinja {

bool equal(Run& run, const Value& a, const Value& b);

// a < b and a <= b. Throw InputError for types that have no order.
bool less(Run& run, const Value& a, const Value& b);
bool less_or_equal(Run& run, const Value& a, const Value& b);

// item in container. Throws InputError when it is no container.
bool contains(Run& run, const Value& container, const Value& item);

enum class Arithmetic { add, subtract, multiply, divide, floor_divide, modulo, power };

// Throws InputError for types that do not go together, a division by zero or an integer beyond 64
// bits.
Value calculate(Run& run, Arithmetic operation, const Value& a, const Value& b);
Value negative(Run& run, const Value& value);

// The items of a list, the characters of a string, the keys of a dict; nothing of what is
// undefined. Throws InputError for the rest.
std::vector<Value> items_of(Run& run, const Value& value);

// len(). Throws InputError for what has no length.
size_t length_of(Run& run, const Value& value);

// Sorts by the value that `key` gives for an item. A merge sort of our own: the order may be none
// (of nan, say), and comparing may throw.
template <class Item, class Key>
void stable_sort_values(Run& run, std::vector<Item>& items, const Key& key) {
  std::vector<std::pair<Value, Item>> from;
  for (const Item& item : items) from.emplace_back(key(item), item);
  auto to = from;
  for (size_t width = 1; width < from.size(); width *= 2) {
    for (size_t begin = 0; begin < from.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, from.size());
      const size_t end = std::min(begin + 2 * width, from.size());
      for (size_t left = begin, right = middle, out = begin; out < end; ++out) {
        const bool from_right =
            left == middle || (right < end && less(run, from[right].first, from[left].first));
        to[out] = from[from_right ? right++ : left++];
      }
    }
    std::swap(from, to);
  }
  for (size_t i = 0; i < items.size(); ++i) items[i] = from[i].second;
}

}  // namespace krait::jinja
