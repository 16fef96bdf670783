// JSON in and out of templates.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "src/template/value.h"

namespace krait::jinja {

class Run;

// A variable of the caller. Throws InputError when it is nested too deep or holds an integer of
// more than 64 bits. Repairs invalid UTF-8.
Value from_json(Run& run, const nlohmann::ordered_json& json);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  const std::string* indent = nullptr;  // of one level; null: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// As Python's json.dumps writes it. Throws InputError for a value JSON has no form for.
std::string to_json(Run& run, const Value& value, const JsonStyle& style);

}  // namespace krait::jinja
