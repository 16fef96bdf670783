// Work that is kept for later instead of done, as a GPU's graphs keep it.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace krait::cuda::twin {

using Work = std::vector<std::function<void()>>;

// Where this thread's work goes; null: it is done at once.
extern constinit thread_local Work* recording;

// For tests: no graph can be made of what was recorded.
extern constinit thread_local bool refuse_graphs;

template <class Function>
void do_or_record(Function&& function) {
  if (recording) {
    recording->emplace_back(std::forward<Function>(function));
  } else {
    function();
  }
}

}  // namespace krait::cuda::twin
