#include "src/cli/line_editor.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <map>

#include <fmt/format.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/utf8.h"
#include "src/cli/console.h"

namespace krait::cli {
namespace {

constexpr char kEscapeMark = '\1';  // around what takes no room on the screen
constexpr std::string_view kPasteOn = "\x1b[?2004h";
constexpr const char* kPasteOff = "\x1b[?2004l";
constexpr std::string_view kPasteEnd = "\x1b[201~";
constexpr wchar_t kCtrlC = 3;
constexpr int kLookMs = 500;  // for what came just before the waiting began, and did not end it
constexpr int kHistorySize = 1000;
// Pastes beyond this are shown as one word: a terminal cannot edit what it cannot show.
constexpr size_t kMaxShownLines = 6, kMaxShownBytes = 800;

std::atomic<bool> resized = false;
extern "C" void on_resize(int) { resized = true; }

void put(std::string_view bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), stderr);
  std::fflush(stderr);
}

// What may stand in a line: newlines, but no other control characters, which a terminal obeys.
std::string tame(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\r') {
      if (i + 1 == text.size() || text[i + 1] != '\n') out += '\n';
    } else if (c == '\t') {
      out += "    ";
    } else if (c == '\n' || (c >= 0x20 && c != 0x7f)) {
      out += static_cast<char>(c);
    }
  }
  while (out.ends_with('\n')) out.pop_back();
  return repair_utf8(out);
}

std::string common_beginning(const std::vector<std::string>& words) {
  std::string common = words.front();
  for (const std::string& word : words) {
    size_t same = 0;
    while (same < std::min(common.size(), word.size()) && common[same] == word[same]) ++same;
    common.resize(same);
  }
  return common;
}

// Words side by side, as a shell lists files.
std::string in_columns(const std::vector<std::string>& words) {
  size_t width = 0;
  for (const std::string& word : words) width = std::max(width, word.size());
  const size_t columns =
      std::max<size_t>(1, static_cast<size_t>(terminal_width(STDERR_FILENO)) / (width + 2));
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool last = (i + 1) % columns == 0 || i + 1 == words.size();
    out += last ? words[i] + "\n" : fmt::format("{:<{}}", words[i], width + 2);
  }
  return out;
}

}  // namespace

struct LineEditor::Terminal {
  EditLine* edit = nullptr;
  ::History* history = nullptr;
  Complete complete;
  std::string prompt;
  bool colors = false;
  bool cancelled = false;
  std::map<std::string, std::string> pasted;  // by the word that is shown instead
  struct sigaction resize_before = {};

  static Terminal& of(EditLine* edit) {
    Terminal* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    return *self;
  }

  static char* prompt_of(EditLine* edit) { return of(edit).prompt.data(); }

  // A character from the keyboard; what interrupts the waiting is seen to.
  static int next_character(EditLine* edit, wchar_t* out) {
    std::string bytes;
    for (;;) {
      // One that was sent, not typed.
      if (Console::interrupted() && !Console::terminated()) {
        Console::clear_interrupt();
        *out = kCtrlC;
        return 1;
      }
      if (Console::terminated()) return 0;
      if (resized.exchange(false)) el_resize(edit);
      pollfd key = {STDIN_FILENO, POLLIN, 0};
      if (::poll(&key, 1, kLookMs) <= 0) continue;
      char byte = 0;
      const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return static_cast<int>(count);
      bytes += byte;
      const Utf8Unit unit = utf8_unit(bytes, 0);
      if (unit.kind == Utf8Unit::Kind::truncated) continue;
      *out = unit.kind == Utf8Unit::Kind::character ? static_cast<wchar_t>(unit.code) : L'\uFFFD';
      return 1;
    }
  }

  static unsigned char cancel(EditLine* edit, int) {
    of(edit).cancelled = true;
    return CC_EOF;
  }

  static unsigned char suspend(EditLine* edit, int) {
    put(kPasteOff);
    el_set(edit, EL_PREP_TERM, 0);
    ::raise(SIGTSTP);
    el_set(edit, EL_PREP_TERM, 1);
    put(kPasteOn);
    return CC_REDISPLAY;
  }

  static unsigned char paste(EditLine* edit, int) {
    std::string text;
    wchar_t character = 0;
    while (!text.ends_with(kPasteEnd) && el_wgetc(edit, &character) == 1)
      append_utf8(static_cast<char32_t>(character), text);
    if (text.ends_with(kPasteEnd)) text.resize(text.size() - kPasteEnd.size());
    text = tame(text);
    if (text.empty()) return CC_NORM;
    return el_insertstr(edit, of(edit).shown(text).c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }

  std::string shown(const std::string& text) {
    const auto lines = static_cast<size_t>(std::ranges::count(text, '\n')) + 1;
    if (lines <= kMaxShownLines && text.size() <= kMaxShownBytes) return text;
    const std::string word =
        fmt::format("[pasted text {}: {} lines, {} bytes]", pasted.size() + 1, lines, text.size());
    pasted[word] = text;
    return word;
  }

  std::string expanded(std::string line) const {
    for (const auto& [word, text] : pasted)
      if (const size_t at = line.find(word); at != std::string::npos)
        line.replace(at, word.size(), text);
    return line;
  }

  static unsigned char tab(EditLine* edit, int) {
    Terminal& self = of(edit);
    const LineInfo* line = el_line(edit);
    const std::string before(line->buffer, line->cursor);
    const Candidates found = self.complete(before);
    if (found.words.empty()) return CC_REFRESH_BEEP;
    const std::string common = common_beginning(found.words);
    const std::string written = before.substr(found.begin);
    if (common.size() > written.size() && common.starts_with(written)) {
      const bool is_all = found.words.size() == 1 && !common.ends_with('/');
      const std::string more = common.substr(written.size()) + (is_all ? " " : "");
      return el_insertstr(edit, more.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    }
    if (found.words.size() == 1) return el_insertstr(edit, " ") == 0 ? CC_REFRESH : CC_ERROR;
    put("\n" + in_columns(found.words));
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(InputHistory& history, Complete complete, bool colors)
    : terminal_(std::make_unique<Terminal>()), history_(history) {
  // libedit counts characters by the locale; text here is UTF-8 whatever the locale is called.
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX < 4) std::setlocale(LC_CTYPE, "C.UTF-8");
  Terminal& t = *terminal_;
  t.complete = std::move(complete);
  t.colors = colors;
  t.edit = el_init("krait", stdin, stderr, stderr);
  t.history = history_init();
  if (t.edit == nullptr || t.history == nullptr) throw Failure("the terminal cannot be used");
  el_set(t.edit, EL_CLIENTDATA, &t);
  el_set(t.edit, EL_EDITOR, "emacs");
  el_set(t.edit, EL_SIGNAL, 0);
  el_set(t.edit, EL_PROMPT_ESC, &Terminal::prompt_of, kEscapeMark);
  el_set(t.edit, EL_GETCFN, &Terminal::next_character);
  HistEvent event;
  ::history(t.history, &event, H_SETSIZE, kHistorySize);
  ::history(t.history, &event, H_SETUNIQUE, 1);
  el_set(t.edit, EL_HIST, ::history, t.history);
  for (const std::string& entry : history_.entries())
    ::history(t.history, &event, H_ENTER, entry.c_str());
  // Keys instead of signals: they cannot come while the terminal is in another mode.
  el_set(t.edit, EL_SETTY, "-d", "-isig", nullptr);
  // el_set() would copy these names and forget the copies.
  const auto bind = [&](const wchar_t* key, const wchar_t* name, const wchar_t* help,
                        unsigned char (*function)(EditLine*, int)) {
    el_wset(t.edit, EL_ADDFN, name, help, function);
    el_wset(t.edit, EL_BIND, key, name, nullptr);
  };
  bind(L"^C", L"krait-cancel", L"Forget the line", &Terminal::cancel);
  bind(L"^Z", L"krait-suspend", L"Back to the shell", &Terminal::suspend);
  bind(L"^I", L"krait-complete", L"Complete the word", &Terminal::tab);
  bind(L"\\e[200~", L"krait-paste", L"Insert what is pasted", &Terminal::paste);
  el_set(t.edit, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(t.edit, EL_BIND, "^W", "ed-delete-prev-word", nullptr);
  el_set(t.edit, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
  el_set(t.edit, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
  el_set(t.edit, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  struct sigaction action = {};
  action.sa_handler = on_resize;
  sigaction(SIGWINCH, &action, &t.resize_before);
}

LineEditor::~LineEditor() {
  sigaction(SIGWINCH, &terminal_->resize_before, nullptr);
  history_end(terminal_->history);
  el_end(terminal_->edit);
}

Input LineEditor::read(const std::string& prompt) {
  Terminal& t = *terminal_;
  const auto style = [](const char* code) {
    return fmt::format("{}\x1b[{}m{}", kEscapeMark, code, kEscapeMark);
  };
  // The mark may not stand at the end: the colour ends before the last space.
  const size_t text = prompt.find_last_not_of(' ') + 1;
  t.prompt =
      t.colors ? style("1;36") + prompt.substr(0, text) + style("0") + prompt.substr(text) : prompt;
  t.cancelled = false;
  t.pasted.clear();
  if (resized.exchange(false)) el_resize(t.edit);
  Console::owns_terminal(kPasteOff);
  el_set(t.edit, EL_PREP_TERM, 1);  // before the prompt shows: keys are ours from then on
  put(kPasteOn);
  int count = 0;
  const char* line = el_gets(t.edit, &count);
  put(kPasteOff);
  Console::owns_terminal(nullptr);
  if (t.cancelled) {
    el_reset(t.edit);
    put("^C\n");
    return {Input::Kind::cancelled, ""};
  }
  if (line == nullptr || count <= 0) {
    put("\n");
    return {Input::Kind::end, ""};
  }
  std::string out(line, static_cast<size_t>(count));
  if (out.ends_with('\n')) out.pop_back();
  return {Input::Kind::text, t.expanded(std::move(out))};
}

void LineEditor::remember(const std::string& line) {
  HistEvent event;
  ::history(terminal_->history, &event, H_ENTER, line.c_str());
  history_.add(line);
}

}  // namespace krait::cli
