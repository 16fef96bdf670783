// Values as Python prints them.
#pragma once

#include <string>

#include "src/template/value.h"

namespace krait::jinja {

class Run;

// str(value): what an expression writes.
std::string text_of(Run& run, const Value& value);

// repr(value): the same with strings in quotes; how the items of containers are written.
std::string repr_of(Run& run, const Value& value);

// repr of a float: the shortest digits that read back as the same number.
std::string float_text(double value);

}  // namespace krait::jinja
