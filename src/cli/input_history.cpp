#include "src/cli/input_history.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "src/base/output_file.h"

namespace krait::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxEntries = 1000;
constexpr size_t kMaxEntryBytes = 64 << 10;
constexpr size_t kMaxFileBytes = size_t{1} << 28;
constexpr mode_t kOwnerOnly = 0600;

// An entry on one line.
std::string encoded(const std::string& entry) {
  std::string out;
  for (const char c : entry) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\')
      out += "\\\\";
    else
      out += c;
  }
  return out + "\n";
}

std::string decoded(std::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool escape = line[i] == '\\' && i + 1 < line.size();
    out += !escape ? line[i] : line[++i] == 'n' ? '\n' : line[i];
  }
  return out;
}

// Whether the file ends inside a line: whoever wrote last was not let finish.
bool is_torn(int file) {
  char last = '\n';
  const off_t size = ::lseek(file, 0, SEEK_END);
  return size > 0 && ::pread(file, &last, 1, size - 1) == 1 && last != '\n';
}

}  // namespace

std::string InputHistory::default_path() {
  const char* never = std::getenv("KRAIT_NOHISTORY");
  if (never != nullptr && *never != '\0') return "";
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::string(state) + "/krait/history";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return "";
  return std::string(home) + "/.local/state/krait/history";
}

InputHistory::InputHistory(std::string path) : path_(std::move(path)) {
  std::string text;
  try {
    if (!path_.empty()) text = read_text_file(path_, kMaxFileBytes);
  } catch (const std::exception&) {  // without a history one can still talk
  }
  size_t lines = 0;
  std::string_view rest = text;
  for (; !rest.empty(); ++lines) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.empty() || line.size() > kMaxEntryBytes) continue;
    entries_.push_back(decoded(line));
    if (entries_.size() > 2 * kMaxEntries)
      entries_.erase(entries_.begin(), entries_.end() - kMaxEntries);
  }
  if (entries_.size() > kMaxEntries) entries_.erase(entries_.begin(), entries_.end() - kMaxEntries);
  if (lines > 2 * kMaxEntries) shorten_file();
}

void InputHistory::shorten_file() const {
  try {
    OutputFile file(path_, kOwnerOnly);
    for (const std::string& entry : entries_) {
      const std::string line = encoded(entry);
      file.write(line.data(), line.size());
    }
    file.commit();
  } catch (const std::exception&) {  // next time, then
  }
}

void InputHistory::add(const std::string& entry) {
  if (entry.empty() || (!entries_.empty() && entries_.back() == entry)) return;
  entries_.push_back(entry);
  if (path_.empty() || entry.size() > kMaxEntryBytes) return;
  std::error_code ignored;
  const fs::path folder = fs::path(path_).parent_path();
  if (fs::create_directories(folder, ignored))
    fs::permissions(folder, fs::perms::owner_all, ignored);
  const Descriptor file(path_, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, kOwnerOnly);
  if (!file) return;
  const std::string line = (is_torn(file.number()) ? "\n" : "") + encoded(entry);
  try {
    write_all(file.number(), line, path_);  // in one call: lines of two programs do not mix
  } catch (const std::exception&) {         // it stays in this run's history
  }
}

}  // namespace krait::cli
