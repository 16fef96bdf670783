// What stands behind a dot or in brackets.
#pragma once

#include <string>

#include "src/template/run.h"
#include "src/template/value.h"

namespace krait::jinja {

// value.name: a method or an attribute, else the member of a dict, else undefined. Throws
// InputError when the value is undefined itself, as do the others.
Value attribute_of(Run& run, const Value& value, const std::string& name);

// value[key]: the item or member, else the attribute of that name, else undefined.
Value item_of(Run& run, const Value& value, const Value& key);

// The same with the choice that filters like map(attribute="a.b.0") make: dots separate names.
Value path_of(Run& run, const Value& value, const Value& path);

// value[start:stop:step] of a list or string; none for a bound left out. Throws InputError for
// other values and for a step of 0.
Value slice_of(Run& run, const Value& value, const Value& start, const Value& stop,
               const Value& step);

}  // namespace krait::jinja
