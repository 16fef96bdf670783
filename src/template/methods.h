// The methods of strings, lists and dicts: tables of name -> function, in string_methods.cpp and
// container_methods.cpp.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "src/template/arguments.h"
#include "src/template/characters.h"
#include "src/template/run.h"
#include "src/template/value.h"

namespace krait::jinja {

struct Method {
  std::string_view name;
  Value (*call)(Run& run, const Value& self, const Arguments& arguments);
};

std::span<const Method> string_methods();
std::span<const Method> list_methods();
std::span<const Method> dict_methods();

// The method bound to the value; undefined for one that would change it; nothing where the type
// has no such method.
std::optional<Value> find_method(Run& run, const Value& self, std::string_view name);

// What filters share with methods.
Value split_text(Run& run, const std::string& text, const Value* separator, int64_t limit,
                 bool from_right);
std::string replace_text(Run& run, const std::string& text, const std::string& old,
                         const std::string& by, int64_t limit);
Value strip_text(Run& run, const std::string& text, const Value* chars, Ends ends);
Value join_texts(Run& run, const std::string& separator, const std::vector<Value>& parts);
Value items_of_dict(Run& run, const Dict& dict);

}  // namespace krait::jinja
