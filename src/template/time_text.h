// Times for strftime_now.
#pragma once

#include <string>
#include <string_view>

namespace krait::jinja {

class Run;

// The time of the run as Python's datetime.strftime writes it in the C locale; the time has no
// zone, so %z and %Z write nothing. Throws InputError for an unknown directive.
std::string time_text(Run& run, std::string_view format);

}  // namespace krait::jinja
