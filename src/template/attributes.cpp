#include "src/template/attributes.h"

#include <algorithm>
#include <charconv>

#include "src/template/characters.h"
#include "src/template/methods.h"
#include "src/template/python_text.h"

namespace krait::jinja {
namespace {

Value missing(Run& run, const Value& value, const std::string& what) {
  run.charge(what.size());
  return Value::undefined("a value of type " + std::string(value.type_name()) + " has no " + what);
}

std::optional<Value> own_attribute(Run& run, const Value& value, const std::string& name) {
  if (value.object()) return value.object()->attribute(run, name);
  return find_method(run, value, name);
}

// The item of a list or string, or nothing.
std::optional<Value> indexed(Run& run, const Value& value, int64_t index) {
  if (value.list()) {
    const auto& items = value.list()->items;
    if (index < 0) index += static_cast<int64_t>(items.size());
    if (index < 0 || index >= static_cast<int64_t>(items.size())) return std::nullopt;
    return items[static_cast<size_t>(index)];
  }
  if (!value.string()) return std::nullopt;
  const std::string& text = *value.string();
  run.scan(text.size());
  if (index < 0) index += static_cast<int64_t>(character_count(text));
  if (index < 0) return std::nullopt;
  const size_t at = byte_of(text, static_cast<size_t>(index));
  if (at == text.size()) return std::nullopt;
  size_t length = 0;
  code_at(text, at, length);
  return run.string(text.substr(at, length));
}

// The indices of a slice of something of that size, as Python's slice.indices.
struct Range {
  int64_t start, stop, step;
};

bool find_range(Run& run, const Value& start, const Value& stop, const Value& step, int64_t size,
                Range& range) {
  for (const Value* bound : {&start, &stop, &step})
    if (!bound->is_none() && !bound->is_integral()) return false;
  range.step = step.is_none() ? 1 : step.to_integer();
  if (range.step == 0) run.fail("a slice with a step of 0");
  range.step = std::clamp(range.step, -size - 1, size + 1);  // so that sums cannot overflow
  const bool is_down = range.step < 0;
  const auto place = [size, is_down](const Value& bound, int64_t fallback) {
    if (bound.is_none()) return fallback;
    int64_t at = bound.to_integer();
    if (at < 0) at = at < -size ? -1 - size : at + size;
    return std::clamp(at, int64_t{is_down ? -1 : 0}, is_down ? size - 1 : size);
  };
  range.start = place(start, is_down ? size - 1 : 0);
  range.stop = place(stop, is_down ? -1 : size);
  return true;
}

template <class Take>
void each_index(const Range& range, const Take& take) {
  for (int64_t at = range.start; range.step > 0 ? at < range.stop : at > range.stop;
       at += range.step)
    take(static_cast<size_t>(at));
}

}  // namespace

Value attribute_of(Run& run, const Value& value, const std::string& name) {
  if (value.is_undefined()) run.fail(value.why_undefined());
  if (auto own = own_attribute(run, value, name)) return *std::move(own);
  if (value.dict())
    if (const Value* member = find_member(*value.dict(), name)) return *member;
  return missing(run, value, "attribute '" + name + "'");
}

Value item_of(Run& run, const Value& value, const Value& key) {
  if (value.is_undefined()) run.fail(value.why_undefined());
  if (value.dict()) {
    if (const Value* member = find_member(*value.dict(), key)) return *member;
  } else if (key.is_integral()) {
    if (auto item = indexed(run, value, key.to_integer())) return *std::move(item);
  }
  if (key.string())
    if (auto own = own_attribute(run, value, *key.string())) return *std::move(own);
  return missing(run, value, "item " + repr_of(run, key));
}

Value path_of(Run& run, const Value& value, const Value& path) {
  if (!path.string()) return item_of(run, value, path);
  Value at = value;
  const std::string& names = *path.string();
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find('.', begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    int64_t index = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool is_index = !name.empty() && name[0] != '-' && read.ec == std::errc() &&
                          read.ptr == name.data() + name.size();
    at = item_of(run, at, is_index ? Value::integer(index) : run.string(name));
    begin = end + 1;
  }
  return at;
}

Value slice_of(Run& run, const Value& value, const Value& start, const Value& stop,
               const Value& step) {
  if (value.is_undefined()) run.fail(value.why_undefined());
  Range range{};
  if (value.list()) {
    const auto& items = value.list()->items;
    if (find_range(run, start, stop, step, static_cast<int64_t>(items.size()), range)) {
      std::vector<Value> taken;
      each_index(range, [&](size_t at) { taken.push_back(items[at]); });
      return run.list(std::move(taken), value.list()->is_tuple);
    }
  } else if (value.string()) {
    const std::string& text = *value.string();
    run.scan(text.size());
    const size_t size = character_count(text);
    if (find_range(run, start, stop, step, static_cast<int64_t>(size), range)) {
      if (range.step == 1) {
        const size_t begin = byte_of(text, static_cast<size_t>(range.start));
        const auto count = static_cast<size_t>(std::max<int64_t>(range.stop - range.start, 0));
        const std::string_view rest = std::string_view(text).substr(begin);
        return run.string(std::string(rest.substr(0, byte_of(rest, count))));
      }
      run.charge(size * sizeof(std::string_view));
      const std::vector<std::string_view> all = characters(text);
      std::string taken;
      each_index(range, [&](size_t at) { taken += all[at]; });
      return run.string(std::move(taken));
    }
  }
  run.fail("a slice of a value of type " + std::string(value.type_name()) +
           "; expected a list or a string, and integers as its bounds");
}

}  // namespace krait::jinja
