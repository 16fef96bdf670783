// Filters over lists and dicts.
#include <algorithm>
#include <set>

#include "src/template/attributes.h"
#include "src/template/characters.h"
#include "src/template/filters.h"
#include "src/template/is_tests.h"
#include "src/template/methods.h"
#include "src/template/operators.h"
#include "src/template/sort_keys.h"

namespace krait::jinja {
namespace {

// The input of map, select and the like: of what is false, nothing.
std::vector<Value> items_or_none(Run& run, const Value& input) {
  return input.truth() ? items_of(run, input) : std::vector<Value>();
}

// Arguments without the first `count` positional ones.
Arguments without_first(const Arguments& arguments, size_t count) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

// select, reject: the items that pass a test, or are true; with `by_attribute`, whose attribute
// does.
Value chosen(Run& run, const Value& input, const Arguments& arguments, std::string_view name,
             bool by_attribute, bool wanted) {
  const size_t own = by_attribute ? 1 : 0;
  if (arguments.positional.size() < own)
    run.fail(std::string(name) + " needs the name of an attribute");
  const bool has_test = arguments.positional.size() > own;
  const std::string test =
      has_test ? string_argument(run, arguments.positional[own], "the name of a test") : "";
  const Arguments rest = has_test ? without_first(arguments, own + 1) : Arguments();
  std::vector<Value> taken;
  for (Value& item : items_or_none(run, input)) {
    const Value judged = by_attribute ? path_of(run, item, arguments.positional[0]) : item;
    const bool passes = has_test ? apply_test(run, test, judged, rest) : judged.truth();
    if (passes == wanted) taken.push_back(std::move(item));
  }
  return run.list(std::move(taken));
}

size_t count_argument(Run& run, const Value& value, std::string_view what) {
  const int64_t count = integer_or(run, &value, 0, what);
  if (count < 1 || count > 100'000)
    run.fail(std::string(what) + " is " + std::to_string(count) + "; expected 1 to 100000");
  return static_cast<size_t>(count);
}

}  // namespace

Value list_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "list", {});
  return run.list(items_of(run, input));
}

Value first_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "first", {});
  const std::vector<Value> items = items_of(run, input);
  return items.empty() ? Value::undefined("there is no first item: the sequence is empty")
                       : items.front();
}

Value last_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "last", {});
  const std::vector<Value> items = items_of(run, input);
  return items.empty() ? Value::undefined("there is no last item: the sequence is empty")
                       : items.back();
}

Value items_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "items", {});
  if (input.is_undefined()) return run.list({});
  if (!input.dict())
    run.fail("the input of items is of type " + std::string(input.type_name()) +
             "; expected a dict");
  return items_of_dict(run, *input.dict());
}

Value reverse_filter(Run& run, const Value& input, const Arguments& arguments) {
  arguments.bind(run, "reverse", {});
  if (input.string()) return slice_of(run, input, Value(), Value(), Value::integer(-1));
  std::vector<Value> items = items_of(run, input);
  std::reverse(items.begin(), items.end());
  return run.list(std::move(items));
}

Value attr_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "attr", {"name"});
  if (input.dict()) {
    const auto method = find_method(run, input, string_argument(run, *bound[0], "attr: name"));
    return method ? *method : Value::undefined("a dict has no attribute of that name");
  }
  return attribute_of(run, input, string_argument(run, *bound[0], "attr: name"));
}

Value map_filter(Run& run, const Value& input, const Arguments& arguments) {
  std::vector<Value> items = items_or_none(run, input);
  if (arguments.positional.empty()) {
    const Bound bound = arguments.bind(run, "map", {"attribute", "?default"});
    for (Value& item : items) {
      item = path_of(run, item, *bound[0]);
      if (item.is_undefined() && bound[1] && !bound[1]->is_none()) item = *bound[1];
    }
  } else {
    const std::string& name = string_argument(run, arguments.positional[0], "the filter of map");
    const Arguments rest = without_first(arguments, 1);
    const CallDepth depth(run);  // the filter may be map
    for (Value& item : items) {
      run.step();
      item = apply_filter(run, name, item, rest);
    }
  }
  return run.list(std::move(items));
}

Value select_filter(Run& run, const Value& input, const Arguments& arguments) {
  return chosen(run, input, arguments, "select", false, true);
}
Value reject_filter(Run& run, const Value& input, const Arguments& arguments) {
  return chosen(run, input, arguments, "reject", false, false);
}
Value selectattr_filter(Run& run, const Value& input, const Arguments& arguments) {
  return chosen(run, input, arguments, "selectattr", true, true);
}
Value rejectattr_filter(Run& run, const Value& input, const Arguments& arguments) {
  return chosen(run, input, arguments, "rejectattr", true, false);
}

Value sort_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "sort", {"?reverse", "?case_sensitive", "?attribute"});
  std::vector<Value> items = items_of(run, input);
  // From the back, so that equal ones keep their order when the result is turned round.
  const bool is_reversed = truth_or(bound[0], false);
  if (is_reversed) std::reverse(items.begin(), items.end());
  // Compared as lists of one, as in Jinja: equal items need no order.
  const SortKey key(run, bound[1], bound[2]);
  stable_sort_values(run, items, [&](const Value& item) { return run.list({key(item)}); });
  if (is_reversed) std::reverse(items.begin(), items.end());
  return run.list(std::move(items));
}

Value dictsort_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "dictsort", {"?case_sensitive", "?by", "?reverse"});
  if (!input.dict())
    run.fail("the input of dictsort is of type " + std::string(input.type_name()) +
             "; expected a dict");
  const std::string by = bound[1] ? string_argument(run, *bound[1], "dictsort: by") : "key";
  if (by != "key" && by != "value") run.fail("dictsort: by is '" + by + "'; expected key or value");
  std::vector<Value> items = items_of(run, items_of_dict(run, *input.dict()));
  const bool is_reversed = truth_or(bound[2], false);
  if (is_reversed) std::reverse(items.begin(), items.end());
  const Value place = Value::integer(by == "value");
  stable_sort_values(run, items, SortKey(run, bound[0], &place));
  if (is_reversed) std::reverse(items.begin(), items.end());
  return run.list(std::move(items));
}

Value unique_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "unique", {"?case_sensitive", "?attribute"});
  const SortKey key(run, bound[0], bound[1]);
  std::set<DictKey> seen;
  std::vector<Value> seen_others;  // tuples and undefined values
  const auto is_new = [&](const Value& made) {
    if (const auto hashed = dict_key(made)) return seen.insert(*hashed).second;
    if (!is_hashable(made))
      run.fail("unique: an item of type " + std::string(made.type_name()) + "; expected a scalar");
    for (const Value& other : seen_others)
      if (equal(run, other, made)) return false;
    seen_others.push_back(made);
    return true;
  };
  std::vector<Value> taken;
  for (Value& item : items_of(run, input))
    if (is_new(key(item))) taken.push_back(std::move(item));
  return run.list(std::move(taken));
}

Value batch_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "batch", {"linecount", "?fill_with"});
  const size_t size = count_argument(run, *bound[0], "batch: linecount");
  const std::vector<Value> items = items_of(run, input);
  std::vector<Value> rows;
  for (size_t begin = 0; begin < items.size(); begin += size) {
    const size_t end = std::min(begin + size, items.size());
    std::vector<Value> row(items.begin() + static_cast<std::ptrdiff_t>(begin),
                           items.begin() + static_cast<std::ptrdiff_t>(end));
    if (bound[1] && !bound[1]->is_none()) row.resize(size, *bound[1]);
    rows.push_back(run.list(std::move(row)));
  }
  return run.list(std::move(rows));
}

Value slice_filter(Run& run, const Value& input, const Arguments& arguments) {
  const Bound bound = arguments.bind(run, "slice", {"slices", "?fill_with"});
  const size_t count = count_argument(run, *bound[0], "slice: slices");
  const std::vector<Value> items = items_of(run, input);
  const size_t longer = items.size() % count;  // this many have one item more
  std::vector<Value> columns;
  auto at = items.begin();
  for (size_t i = 0; i < count; ++i) {
    const auto end = at + static_cast<std::ptrdiff_t>(items.size() / count + (i < longer));
    std::vector<Value> column(at, end);
    if (i >= longer && bound[1] && !bound[1]->is_none()) column.push_back(*bound[1]);
    columns.push_back(run.list(std::move(column)));
    at = end;
  }
  return run.list(std::move(columns));
}

}  // namespace krait::jinja
