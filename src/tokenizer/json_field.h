// A value of a JSON file together with where it stands, so that messages name it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace krait {

// Refers to the document and the file name, which must outlive it. What is missing reads as null.
class JsonField {
 public:
  JsonField(const nlohmann::json& document, const std::string& file)
      : value_(&document), file_(&file) {}

  const nlohmann::json& value() const noexcept { return *value_; }
  bool is_null() const noexcept { return value_->is_null(); }

  // A member; this must be an object. An element; this must be an array, the index within it.
  JsonField operator[](const std::string& key) const;
  JsonField operator[](size_t index) const;

  // The number of elements. Throws InputError unless this is an array, as the readers below throw
  // for another type.
  size_t size() const;

  const std::string& string() const;
  bool boolean() const;
  bool boolean_or(bool fallback) const { return is_null() ? fallback : boolean(); }
  int32_t integer(int32_t least, int32_t most) const;  // 0 <= least

  // Throws InputError unless this is an object with no other members than these.
  void expect_members(std::initializer_list<std::string_view> names) const;

  // Throws InputError: "FILE: PATH is FOUND; expected EXPECTED".
  [[noreturn]] void fail(const std::string& expected) const;

 private:
  JsonField(const nlohmann::json* value, const std::string* file, std::string path)
      : value_(value), file_(file), path_(std::move(path)) {}

  const nlohmann::json* value_;
  const std::string* file_;
  std::string path_;  // "model.merges[3]"; empty for the document
};

}  // namespace krait
