// Tests: what may stand behind `is`. is_tests.cpp holds the table of name -> function.
#pragma once

#include <string>

#include "src/template/arguments.h"
#include "src/template/run.h"
#include "src/template/value.h"

namespace krait::jinja {

// Throws InputError when there is no test of that name, or as the test does.
bool apply_test(Run& run, const std::string& name, const Value& input, const Arguments& arguments);

}  // namespace krait::jinja
