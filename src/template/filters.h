// Filters: functions of the value before `|`. filters.cpp holds the table of name -> function; add
// a filter to text_filters.cpp, sequence_filters.cpp or number_filters.cpp and to the table.
#pragma once

#include <string>
#include <string_view>

#include "src/template/arguments.h"
#include "src/template/run.h"
#include "src/template/value.h"

namespace krait::jinja {

// Throws InputError when there is no filter of that name, or as the filter does.
Value apply_filter(Run& run, const std::string& name, const Value& input,
                   const Arguments& arguments);

bool has_filter(std::string_view name);

using Filter = Value(Run& run, const Value& input, const Arguments& arguments);

Filter capitalize_filter, default_filter, escape_filter, indent_filter, join_filter, length_filter,
    lower_filter, replace_filter, string_filter, title_filter, tojson_filter, trim_filter,
    upper_filter, wordcount_filter;
Filter abs_filter, float_filter, int_filter, max_filter, min_filter, round_filter, sum_filter;
Filter attr_filter, batch_filter, dictsort_filter, first_filter, items_filter, last_filter,
    list_filter, map_filter, reject_filter, rejectattr_filter, reverse_filter, select_filter,
    selectattr_filter, slice_filter, sort_filter, unique_filter;

}  // namespace krait::jinja
