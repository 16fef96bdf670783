// Preloaded into krait (LD_PRELOAD): lets calls of the system fail where a test wants it.
//
//   FAULT=CALL,PATH,NTH,TIMES,ACTION   FAULT_FILE=…   FAULT_LOG=…
//
// CALL is a name below, "alloc" for every way to memory, or "start" for the beginning of main().
// PATH is part of the file's name, "stdin", "stdout" or "stderr"; empty: any. The NTH such call
// (from 1) and those after it, TIMES in all (0: no end), meet the ACTION: the name of an errno;
// "short" (half of what was asked for); "kill" before the call, "tear" after half of a write or
// "killed" after it; "close" (the descriptor PATH); "shut" (PATH becomes a pipe that nobody reads);
// "shrink" or "change" (FAULT_FILE, after the call). Each meeting is a line "hit" in FAULT_LOG; at
// the end the count of such calls is one more.
//
// Calls go to the kernel directly, so that nothing here allocates or calls itself.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace {

struct Named {
  const char* name;
  int code;
};
constexpr Named kErrors[] = {{"EACCES", EACCES}, {"EAGAIN", EAGAIN}, {"EBADF", EBADF},
                             {"EINTR", EINTR},   {"EIO", EIO},       {"EMFILE", EMFILE},
                             {"ENODEV", ENODEV}, {"ENOMEM", ENOMEM}, {"ENOSPC", ENOSPC},
                             {"EPIPE", EPIPE},   {"EDQUOT", EDQUOT}};

struct Fault {
  char call[32] = "", path[256] = "", action[32] = "";
  long nth = 0, times = 0;
  const char* file = nullptr;
  const char* log = nullptr;
};

Fault fault;
std::atomic<bool> armed = false;
std::atomic<long> seen = 0;

void log_line(const char* line) {
  if (fault.log == nullptr) return;
  const auto file = static_cast<int>(
      syscall(SYS_openat, AT_FDCWD, fault.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  syscall(SYS_write, file, line, std::strlen(line));
  syscall(SYS_close, file);
}

bool is(const char* action) { return std::strcmp(fault.action, action) == 0; }

void die() { syscall(SYS_kill, syscall(SYS_getpid), SIGKILL); }

int error_of_action() {
  for (const Named& error : kErrors)
    if (is(error.name)) return error.code;
  return 0;
}

// How often a call has met the fault, with this one; 0: it does not.
long meets(const char* call, const char* path) {
  if (!armed || std::strcmp(call, fault.call) != 0 || std::strstr(path, fault.path) == nullptr)
    return 0;
  const long index = ++seen - fault.nth;
  if (index < 0 || (fault.times > 0 && index >= fault.times)) return 0;
  log_line("hit\n");
  if (is("kill")) die();
  return index + 1;
}

struct Path {
  char text[4096] = "";
  explicit Path(int descriptor) {
    constexpr const char* kStandard[] = {"stdin", "stdout", "stderr"};
    if (!armed || descriptor < 0) return;
    if (descriptor <= 2) {
      std::strcpy(text, kStandard[descriptor]);
      return;
    }
    char link[64];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const long length = syscall(SYS_readlink, link, text, sizeof text - 1);
    text[std::max(length, 0L)] = '\0';
  }
};

// What happens to FAULT_FILE while it is in use.
void touch_file() {
  const auto file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, fault.file, O_RDWR, 0));
  const off_t size = lseek(file, 0, SEEK_END);
  if (is("shrink")) syscall(SYS_ftruncate, file, size / 2);
  if (is("change")) syscall(SYS_pwrite64, file, "?", 1, size / 2);
  syscall(SYS_close, file);
}

// The call, or the fault in its place. `size`: what may come short.
template <class Call>
long meet(const char* name, const char* path, size_t size, const Call& call) {
  const long met = meets(name, path);
  if (met == 0) return call(size);
  const int code = is("full") && met > 1 ? ENOSPC : error_of_action();
  if (code != 0) {
    errno = code;
    return -1;
  }
  if (is("short") || is("full")) return call(std::max<size_t>(size / 2, 1));
  if (is("tear")) {
    call(size / 2);
    die();
  }
  const long result = call(size);
  if (is("killed")) die();
  if (is("shrink") || is("change")) touch_file();
  return result;
}

bool fails_to_allocate() {
  if (!meets("alloc", "")) return false;
  errno = ENOMEM;
  return true;
}

void meet_start() {
  const char* specification = std::getenv("FAULT");
  if (specification == nullptr) return;
  fault.file = std::getenv("FAULT_FILE");
  fault.log = std::getenv("FAULT_LOG");
  char* const parts[] = {fault.call, fault.path, nullptr, nullptr, fault.action};
  long* const numbers[] = {nullptr, nullptr, &fault.nth, &fault.times, nullptr};
  const char* at = specification;
  for (int i = 0; i < 5; ++i) {
    const size_t length = std::strcspn(at, ",");
    if (parts[i] != nullptr) std::strncpy(parts[i], at, std::min<size_t>(length, 255));
    if (numbers[i] != nullptr) *numbers[i] = std::strtol(at, nullptr, 10);
    at += length + (at[length] == ',' ? 1 : 0);
  }
  armed = true;
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    const Path path(descriptor);
    if (std::strcmp(fault.call, "start") != 0 || std::strcmp(path.text, fault.path) != 0) continue;
    log_line("hit\n");
    syscall(SYS_close, descriptor);
    int ends[2];
    if (!is("shut") || syscall(SYS_pipe2, ends, 0) != 0) continue;  // the lowest number is the read
    if (ends[1] != descriptor) syscall(SYS_dup3, ends[1], descriptor, 0);
    if (ends[0] != descriptor) syscall(SYS_close, ends[0]);
    if (ends[1] != descriptor) syscall(SYS_close, ends[1]);
  }
}

int (*real_main)(int, char**, char**);
int main_with_faults(int argc, char** argv, char** environment) {
  meet_start();
  return real_main(argc, argv, environment);
}

__attribute__((destructor)) void at_end() {
  if (!armed.exchange(false)) return;
  char line[32];
  std::snprintf(line, sizeof line, "%ld\n", seen.load());
  log_line(line);
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int __libc_start_main(int (*main)(int, char**, char**), int argc, char** argv, void (*init)(),
                      void (*fini)(), void (*rtld_fini)(), void* stack_end) {
  real_main = main;
  using Start =
      int(int (*)(int, char**, char**), int, char**, void (*)(), void (*)(), void (*)(), void*);
  return next<Start>("__libc_start_main")(main_with_faults, argc, argv, init, fini, rtld_fini,
                                          stack_end);
}

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return static_cast<int>(meet(
      "open", path, 0, [=](size_t) { return syscall(SYS_openat, AT_FDCWD, path, flags, mode); }));
}

int close(int file) {
  const Path path(file);
  // Closed it is in any case, as on Linux.
  const auto closed = syscall(SYS_close, file);
  return static_cast<int>(meet("close", path.text, 0, [=](size_t) { return closed; }));
}

ssize_t read(int file, void* to, size_t size) {
  return meet("read", Path(file).text, size,
              [=](size_t count) { return syscall(SYS_read, file, to, count); });
}

ssize_t __read_chk(int file, void* to, size_t size, size_t) { return read(file, to, size); }

ssize_t pread(int file, void* to, size_t size, off_t offset) {
  return meet("pread", Path(file).text, size,
              [=](size_t count) { return syscall(SYS_pread64, file, to, count, offset); });
}

ssize_t __pread_chk(int file, void* to, size_t size, off_t offset, size_t) {
  return pread(file, to, size, offset);
}

ssize_t write(int file, const void* from, size_t size) {
  return meet("write", Path(file).text, size,
              [=](size_t count) { return syscall(SYS_write, file, from, count); });
}

int fsync(int file) {
  return static_cast<int>(
      meet("fsync", Path(file).text, 0, [=](size_t) { return syscall(SYS_fsync, file); }));
}

int fdatasync(int file) {
  return static_cast<int>(
      meet("fsync", Path(file).text, 0, [=](size_t) { return syscall(SYS_fdatasync, file); }));
}

int ftruncate(int file, off_t size) noexcept {
  return static_cast<int>(meet("ftruncate", Path(file).text, 0,
                               [=](size_t) { return syscall(SYS_ftruncate, file, size); }));
}

int rename(const char* from, const char* to) noexcept {
  return static_cast<int>(
      meet("rename", from, 0, [=](size_t) { return syscall(SYS_rename, from, to); }));
}

void* mmap(void* start, size_t size, int protection, int flags, int file, off_t offset) noexcept {
  return reinterpret_cast<void*>(meet(
      "mmap", file < 0 ? "memory" : Path(file).text, 0,
      [=](size_t) { return syscall(SYS_mmap, start, size, protection, flags, file, offset); }));
}

int madvise(void* start, size_t size, int advice) noexcept {
  return static_cast<int>(meet("madvise", advice == MADV_DONTNEED ? "release" : "", 0,
                               [=](size_t) { return syscall(SYS_madvise, start, size, advice); }));
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) noexcept {
  using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static Create* const create = next<Create>("pthread_create");
  return meets("thread", "") ? error_of_action() : create(thread, attributes, run, argument);
}

void* malloc(size_t size) { return fails_to_allocate() ? nullptr : __libc_malloc(size); }

void* calloc(size_t count, size_t size) {
  return fails_to_allocate() ? nullptr : __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
  return fails_to_allocate() ? nullptr : __libc_realloc(old, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  return fails_to_allocate() ? nullptr : __libc_memalign(alignment, size);
}

int posix_memalign(void** out, size_t alignment, size_t size) {
  if (fails_to_allocate()) return ENOMEM;
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}

}  // extern "C"
