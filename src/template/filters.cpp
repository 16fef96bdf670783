#include "src/template/filters.h"

#include <algorithm>
#include <iterator>

namespace krait::jinja {
namespace {

struct Entry {
  std::string_view name;
  Filter* filter;
};

constexpr Entry kFilters[] = {
    {"abs", abs_filter},
    {"attr", attr_filter},
    {"batch", batch_filter},
    {"capitalize", capitalize_filter},
    {"count", length_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort_filter},
    {"e", escape_filter},
    {"escape", escape_filter},
    {"first", first_filter},
    {"float", float_filter},
    {"indent", indent_filter},
    {"int", int_filter},
    {"items", items_filter},
    {"join", join_filter},
    {"last", last_filter},
    {"length", length_filter},
    {"list", list_filter},
    {"lower", lower_filter},
    {"map", map_filter},
    {"max", max_filter},
    {"min", min_filter},
    {"reject", reject_filter},
    {"rejectattr", rejectattr_filter},
    {"replace", replace_filter},
    {"reverse", reverse_filter},
    {"round", round_filter},
    {"safe", string_filter},  // there is no autoescape to be safe from
    {"select", select_filter},
    {"selectattr", selectattr_filter},
    {"slice", slice_filter},
    {"sort", sort_filter},
    {"string", string_filter},
    {"sum", sum_filter},
    {"title", title_filter},
    {"tojson", tojson_filter},
    {"trim", trim_filter},
    {"unique", unique_filter},
    {"upper", upper_filter},
    {"wordcount", wordcount_filter},
};

const Entry* find(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [name](const Entry& each) { return each.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

}  // namespace

bool has_filter(std::string_view name) { return find(name) != nullptr; }

Value apply_filter(Run& run, const std::string& name, const Value& input,
                   const Arguments& arguments) {
  const Entry* entry = find(name);
  if (entry == nullptr) run.fail("there is no filter '" + name + "'");
  return entry->filter(run, input, arguments);
}

}  // namespace krait::jinja
