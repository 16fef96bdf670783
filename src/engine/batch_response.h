// Result lines of a batch, in the form of OpenAI's batch output.
#pragma once

#include <string>
#include <vector>

#include "krait/engine.h"
#include "src/engine/batch_request.h"
#include "src/engine/scheduler.h"

namespace krait {

// One line without its end. `id` first and the error last: BatchResults relies on it.
std::string response_line(const std::string& id, const BatchRequest& request,
                          const JobResult& result, const Engine& engine);
std::string error_line(const std::string& id, const std::string& custom_id, const std::string& code,
                       const std::string& message);

}  // namespace krait
