// Typed access to the keys of a config object. Every method throws InputError naming file and key
// for a value of the wrong kind; a key that is absent, null, or that the dialect does not have
// (nullptr) counts as not said.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "krait/model.h"

namespace krait {

class ConfigValues {
 public:
  // `object` and `warn` must outlive this. `source` starts every message. Throws when `object` is
  // not a JSON object.
  ConfigValues(const nlohmann::json& object, std::string source, const Warn& warn);

  [[noreturn]] void fail(const std::string& what) const;
  void warn(const std::string& what) const;

  // nullptr for a key that is not said.
  const nlohmann::json* value(const char* key) const;
  std::optional<int64_t> integer(const char* key) const;
  std::optional<bool> flag(const char* key) const;

  // A small positive number: `otherwise` when not said, fails outside (0, 1).
  float epsilon(const char* key, float otherwise) const;

  // [low, high] with 0 <= low <= high. null, Infinity and {"__float__": "Infinity"} are understood.
  void limits(const char* key, float& low, float& high) const;

  // The shapes say `found`. A config that says otherwise is wrong and harmless, since every tensor
  // is checked against the shapes: it is warned of.
  void agree(const char* key, int64_t found) const;

 private:
  const nlohmann::json& object_;
  std::string source_;
  const Warn& warn_;
};

}  // namespace krait
