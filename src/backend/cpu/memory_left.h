// How much more memory this process may take of the machine.
#pragma once

#include <string>

#include "krait/backend.h"

namespace krait {

// The least that any of these leaves: memory that is free or may be reclaimed (MemAvailable), the
// control groups of the process (version 2 and 1; pages of files count as free), and the limits on
// its address space and data (ulimit -v, -d). `root`: a folder with a proc and a sys of its own.
MemoryLeft host_memory_left(const std::string& root = "");

}  // namespace krait
