// The program `krait`.
#pragma once

namespace krait::cli {

// Runs the command line and returns the exit code: 0 success, 1 failure, 2 bad usage or bad input,
// 130 interrupted. Nothing is thrown.
int run(int argc, const char* const* argv);

}  // namespace krait::cli
