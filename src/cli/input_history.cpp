#include "src/cli/input_history.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <unistd.h>

namespace krait::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxEntries = 1000;
constexpr size_t kMaxEntryBytes = 64 << 10;
constexpr int kOwnerOnly = 0600;

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

std::string decoded(const std::string& line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool escape = line[i] == '\\' && i + 1 < line.size();
    out += !escape ? line[i] : line[++i] == 'n' ? '\n' : line[i];
  }
  return out;
}

bool write_all(int descriptor, const std::string& bytes) {
  return ::write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
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
  std::error_code ignored;
  if (path_.empty() || !fs::is_regular_file(path_, ignored)) return;
  std::ifstream file(path_);
  size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    if (line.empty() || line.size() > kMaxEntryBytes) continue;
    entries_.push_back(decoded(line));
    if (entries_.size() > 2 * kMaxEntries)
      entries_.erase(entries_.begin(), entries_.end() - kMaxEntries);
  }
  if (entries_.size() > kMaxEntries) entries_.erase(entries_.begin(), entries_.end() - kMaxEntries);
  if (lines > 2 * kMaxEntries) shorten_file();
}

void InputHistory::shorten_file() const {
  const std::string temporary = path_ + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kOwnerOnly);
  if (file < 0) return;
  std::string all;
  for (const std::string& entry : entries_) all += encoded(entry);
  const bool written = write_all(file, all);
  ::close(file);
  std::error_code ignored;
  if (written)
    fs::rename(temporary, path_, ignored);
  else
    fs::remove(temporary, ignored);
}

void InputHistory::add(const std::string& entry) {
  if (entry.empty() || (!entries_.empty() && entries_.back() == entry)) return;
  entries_.push_back(entry);
  if (path_.empty() || entry.size() > kMaxEntryBytes) return;
  std::error_code ignored;
  const fs::path folder = fs::path(path_).parent_path();
  if (fs::create_directories(folder, ignored))
    fs::permissions(folder, fs::perms::owner_all, ignored);
  const int file =
      ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (file < 0) return;
  (void)write_all(file, encoded(entry));  // in one call, so that lines of two programs do not mix
  ::close(file);
}

}  // namespace krait::cli
