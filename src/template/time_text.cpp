#include "src/template/time_text.h"

#include <array>
#include <ctime>

#include "src/template/run.h"

namespace krait::jinja {
namespace {

constexpr std::array kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                              "Thursday", "Friday", "Saturday"};
constexpr std::array kMonths = {"January",   "February", "March",    "April",
                                "May",       "June",     "July",     "August",
                                "September", "October",  "November", "December"};

template <size_t count>
std::string named(const std::array<const char*, count>& names, int index, bool is_short) {
  const bool is_known = index >= 0 && index < static_cast<int>(count);
  const std::string name = is_known ? names[static_cast<size_t>(index)] : "?";
  return is_short ? name.substr(0, 3) : name;
}

// With zeros before it, unless the directive had a '-'.
std::string padded(int number, size_t width, bool is_bare) {
  const std::string digits = std::to_string(number);
  const bool needs_more = !is_bare && digits.size() < width;
  return needs_more ? std::string(width - digits.size(), '0') + digits : digits;
}

int twelve_hour(int hour) { return hour % 12 == 0 ? 12 : hour % 12; }

// Not std::strftime: its names depend on the locale of the process, and its widths are a way to
// ask for gigabytes.
std::string directive(Run& run, char kind, bool bare) {
  const std::tm& now = run.now();
  const int year = now.tm_year + 1900;
  switch (kind) {
    case 'a': return named(kDays, now.tm_wday, true);
    case 'A': return named(kDays, now.tm_wday, false);
    case 'b':
    case 'h': return named(kMonths, now.tm_mon, true);
    case 'B': return named(kMonths, now.tm_mon, false);
    case 'd': return padded(now.tm_mday, 2, bare);
    case 'e': return (now.tm_mday < 10 && !bare ? " " : "") + std::to_string(now.tm_mday);
    case 'H': return padded(now.tm_hour, 2, bare);
    case 'I': return padded(twelve_hour(now.tm_hour), 2, bare);
    case 'j': return padded(now.tm_yday + 1, 3, bare);
    case 'm': return padded(now.tm_mon + 1, 2, bare);
    case 'M': return padded(now.tm_min, 2, bare);
    case 'p': return now.tm_hour < 12 ? "AM" : "PM";
    case 'S': return padded(now.tm_sec, 2, bare);
    case 'f': return "000000";
    case 'u': return std::to_string(now.tm_wday == 0 ? 7 : now.tm_wday);
    case 'w': return std::to_string(now.tm_wday);
    case 'y': return padded(year % 100, 2, bare);
    case 'Y': return std::to_string(year);
    case 'z':
    case 'Z': return "";
    case 'D':
    case 'x': return time_text(run, "%m/%d/%y");
    case 'F': return time_text(run, "%Y-%m-%d");
    case 'R': return time_text(run, "%H:%M");
    case 'T':
    case 'X': return time_text(run, "%H:%M:%S");
    case 'c': return time_text(run, "%a %b %e %H:%M:%S %Y");
    case 'n': return "\n";
    case 't': return "\t";
    case '%': return "%";
    default: run.fail("strftime_now: the directive '%" + std::string(1, kind) + "' is not known");
  }
}

}  // namespace

std::string time_text(Run& run, std::string_view format) {
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    const bool is_bare = format.substr(i + 1, 1) == "-";
    i += is_bare ? 2 : 1;
    if (i >= format.size()) run.fail("strftime_now: the format ends inside a directive");
    run.step();
    out += directive(run, format[i], is_bare);
  }
  return out;
}

}  // namespace krait::jinja
