// Rendering templates in tests.
#pragma once

#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/chat_template.h"
#include "krait/error.h"
#include "tests/support/expect_error.h"

namespace krait::test {

// Friday, 2 January 2026, 15:04:05.
inline std::tm test_time() {
  std::tm time{};
  time.tm_year = 126;
  time.tm_mon = 0;
  time.tm_mday = 2;
  time.tm_hour = 15;
  time.tm_min = 4;
  time.tm_sec = 5;
  time.tm_wday = 5;
  time.tm_yday = 1;
  return time;
}

inline std::string render(std::string_view source, const nlohmann::ordered_json& variables = {},
                          const TemplateLimits& limits = {}) {
  const auto given = variables.is_null() ? nlohmann::ordered_json::object() : variables;
  return ChatTemplate(source, "test.jinja", limits).render(given, test_time());
}

struct Rendered {
  std::string text;
  std::string error;  // empty: none
};

inline Rendered try_render(std::string_view source, const nlohmann::ordered_json& variables) {
  try {
    return {render(source, variables), ""};
  } catch (const InputError& error) {
    return {"", error.what()};
  }
}

// The message of the InputError that rendering throws.
inline std::string error_of(std::string_view source, const nlohmann::ordered_json& variables = {},
                            const TemplateLimits& limits = {}) {
  return message_of<InputError>([&] { render(source, variables, limits); });
}

}  // namespace krait::test
