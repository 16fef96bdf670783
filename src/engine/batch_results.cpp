#include "src/engine/batch_results.h"

#include <cerrno>
#include <charconv>
#include <cstdio>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/line_reader.h"

namespace krait {
namespace {

constexpr std::string_view kBeginning = R"({"id":"krait-)";
constexpr size_t kIdBegin = 7;  // of what stands in quotes
constexpr std::string_view kNoError = R"("error":null})";
constexpr size_t kMaxLineBytes = size_t{1} << 30;
constexpr int64_t kMaxLine = int64_t{1} << 36;  // bounds the memory of a number in a broken file
constexpr size_t kRemembered = 1024;            // results whose input is compared
constexpr std::chrono::seconds kSyncInterval{1};

// FNV-1a, 64 bits: to notice an input that was edited, not an attack.
uint64_t hash_of(std::string_view text, uint64_t computed_by) {
  uint64_t hash = 0xcbf29ce484222325 ^ computed_by;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

std::string BatchResults::id_of(int64_t line, std::string_view text, uint64_t computed_by) {
  char id[64];
  std::snprintf(id, sizeof id, "krait-%lld-%016llx", static_cast<long long>(line),
                static_cast<unsigned long long>(hash_of(text, computed_by)));
  return id;
}

BatchResults::BatchResults(const std::string& path, uint64_t computed_by)
    : path_(path), file_(path, O_RDWR | O_CREAT, 0666), computed_by_(computed_by) {
  if (!file_) throw_errno("open", path);
  struct stat status = {};
  if (::fstat(file_.number(), &status) != 0) throw_errno("examine", path);
  if (!S_ISREG(status.st_mode))
    throw InputError("cannot write results to " + path + ": expected a regular file");
  if (::flock(file_.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      throw InputError(path + " is being written by another process; wait for it or choose " +
                       "another file");
    throw_errno("lock", path);
  }
  if (status.st_size == 0) sync_folder_of(path);  // it may be new
  read_existing();
  synced_ = std::chrono::steady_clock::now();
}

// Leaves the descriptor behind the last whole line.
void BatchResults::read_existing() {
  LineReader lines(file_.number(), path_, kMaxLineBytes);
  int64_t end = 0;
  while (const auto line = lines.next()) {
    if (!lines.line_has_end()) {
      repaired_bytes_ = lines.bytes_read() - end;
      break;
    }
    take(*line, lines.line());
    end = lines.bytes_read();
  }
  if (repaired_bytes_ > 0 && ::ftruncate(file_.number(), end) != 0) throw_errno("repair", path_);
  if (::lseek(file_.number(), end, SEEK_SET) < 0) throw_errno("seek in", path_);
}

void BatchResults::take(std::string_view result, int64_t number) {
  const auto refuse = [&] {
    throw InputError(path_ + ": line " + std::to_string(number) +
                     " is no result of krait batch; expected a new file, or one to go on with");
  };
  if (!result.starts_with(kBeginning) || !result.ends_with('}')) refuse();
  int64_t line = 0;
  const char* first = result.data() + kBeginning.size();
  const auto [end, error] = std::from_chars(first, result.data() + result.size(), line);
  const size_t id_end = result.find('"', kBeginning.size());
  if (error != std::errc() || line < 1 || line > kMaxLine || *end != '-' || id_end == result.npos)
    refuse();
  const auto index = static_cast<size_t>(line);
  if (index >= finished_.size()) finished_.resize(index + 1);
  if (finished_[index])
    throw InputError(path_ + ": line " + std::to_string(number) + " answers line " +
                     std::to_string(line) + " of the input a second time");
  finished_[index] = true;
  ++found_finished_;
  if (!result.ends_with(kNoError)) ++found_failed_;
  latest_[line] = std::string(result.substr(kIdBegin, id_end - kIdBegin));
  latest_lines_.push_back(line);
  if (latest_lines_.size() > kRemembered) {
    latest_.erase(latest_lines_.front());
    latest_lines_.pop_front();
  }
}

bool BatchResults::is_finished(int64_t line, std::string_view text) const {
  const auto index = static_cast<size_t>(line);
  if (index >= finished_.size() || !finished_[index]) return false;
  const auto latest = latest_.find(line);
  if (latest != latest_.end() && latest->second != id_of(line, text, computed_by_))
    throw InputError(path_ + ": the result for line " + std::to_string(line) +
                     " answers another text than that line has now, or another model, --dtype or " +
                     "--act computed it; expected what the file was begun with, or a new file");
  return true;
}

void BatchResults::append(std::string_view json) {
  write_all(file_.number(), std::string(json) + '\n', path_);
  if (std::chrono::steady_clock::now() - synced_ > kSyncInterval) sync();
}

void BatchResults::sync() {
  if (::fdatasync(file_.number()) != 0 && errno != EINVAL) throw_errno("write", path_);
  synced_ = std::chrono::steady_clock::now();
}

void BatchResults::close() { sync(); }

}  // namespace krait
