#include "src/tokenizer/json_field.h"

#include <algorithm>

#include "krait/error.h"
#include "src/base/json.h"

namespace krait {
namespace {

const nlohmann::json kNull;

// The value as messages show it: short.
std::string shown(const nlohmann::json& value) {
  if (value.is_null()) return "null or missing";
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array of " + std::to_string(value.size());
  if (value.is_string()) return quote(value.get_ref<const std::string&>());
  return value.dump();
}

// ".key", or ["key"] for what is not a plain name: keys come from the file, too.
std::string path_step(const std::string& key) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  const bool plain =
      !key.empty() && key.size() <= 80 && std::all_of(key.begin(), key.end(), is_plain);
  return plain ? "." + key : "[" + quote(key) + "]";
}

}  // namespace

void JsonField::fail(const std::string& expected) const {
  throw InputError(*file_ + ": " + (path_.empty() ? "the document" : path_) + " is " +
                   shown(*value_) + "; expected " + expected);
}

JsonField JsonField::operator[](const std::string& key) const {
  if (!value_->is_object()) fail("an object");
  const auto member = value_->find(key);
  return {member == value_->end() ? &kNull : &*member, file_,
          path_.empty() ? key : path_ + path_step(key)};
}

JsonField JsonField::operator[](size_t index) const {
  return {&(*value_)[index], file_, path_ + "[" + std::to_string(index) + "]"};
}

size_t JsonField::size() const {
  if (!value_->is_array()) fail("an array");
  return value_->size();
}

const std::string& JsonField::string() const {
  if (!value_->is_string()) fail("a string");
  return value_->get_ref<const std::string&>();
}

bool JsonField::boolean() const {
  if (!value_->is_boolean()) fail("true or false");
  return value_->get<bool>();
}

int32_t JsonField::integer(int32_t least, int32_t most) const {
  // Numbers beyond int64_t wrap to negative ones, which no caller allows.
  const int64_t number = value_->is_number_integer() ? value_->get<int64_t>() : -1;
  if (number < least || number > most)
    fail("a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return static_cast<int32_t>(number);
}

void JsonField::expect_members(std::initializer_list<std::string_view> names) const {
  if (!value_->is_object()) fail("an object");
  for (const auto& [key, member] : value_->items())
    if (std::find(names.begin(), names.end(), key) == names.end())
      throw InputError(*file_ + ": " + (path_.empty() ? "the document" : path_) + " has " +
                       quote(key) + ", which krait does not know");
}

}  // namespace krait
