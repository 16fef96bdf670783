// Errors in tests: their type and the words a user needs.
#pragma once

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace krait::test {

// What `run` says when it throws an Error; fails the test when it does not.
template <class Error, class Run>
std::string message_of(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "threw another type: " << error.what();
    return "";
  }
  ADD_FAILURE() << "threw nothing";
  return "";
}

}  // namespace krait::test
