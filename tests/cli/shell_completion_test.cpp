// Completions and the manual: everything that --help shows is in them, and the shells themselves
// take them.
#include "src/cli/shell_completion.h"

#include <cstdio>
#include <cstdlib>
#include <regex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/cli/man_page.h"
#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

const std::vector<std::string> kShells = {"bash", "zsh", "fish"};

// What a shell command prints, errors included.
std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(("{ " + command + "; } 2>&1").c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  char block[4096];
  while (const size_t count = std::fread(block, 1, sizeof block, pipe)) text.append(block, count);
  ::pclose(pipe);
  return text;
}

bool has_program(const std::string& name) {
  return !output_of("command -v " + name + " || true").empty();
}

std::vector<std::string> words_of(const std::string& text, const char* pattern) {
  std::set<std::string> words;
  const std::regex word(pattern);
  for (auto at = std::sregex_iterator(text.begin(), text.end(), word); at != std::sregex_iterator();
       ++at)
    words.insert((*at)[1].str());
  return {words.begin(), words.end()};
}

std::vector<std::string> commands() {
  const std::string help = run({"--help"}).out;
  return words_of(help.substr(help.find("Commands:")), "\n  ([a-z]+)  ");
}

// The flags in the entries of a help page.
std::vector<std::string> flags_of(const std::string& command) {
  std::vector<std::string> flags;
  for (const char* pattern : {"\n  (-[a-zA-Z])[, ]", "\n  (?:[^ ]+, )?(--[a-z-]+)"})
    for (const std::string& flag : words_of(run({command, "--help"}).out, pattern))
      flags.push_back(flag);
  return flags;
}

// Commands, flags and values with everything that a shell or roff takes for its own.
cli::ProgramTable hostile_program() {
  const std::string text = ".TH it's [a] \"b\": \\c $(false) `d` ~ {e,f}\n'g -h";
  cli::Flag words{{"-w", "--words"}, "a|b", cli::ValueKind::words, {"a", "b"}, text, "G'"};
  cli::Flag file{{"--file"}, "FILE:[x]", cli::ValueKind::file, {}, text, "G'"};
  cli::Flag model{{"MODEL"}, "MODEL", cli::ValueKind::model, {}, text, ""};
  cli::Flag quick{{"-q"}, "", cli::ValueKind::none, {}, text, ""};
  return {text, text, {quick}, {{"go", text, text, {model}, {words, file, quick}}}};
}

TEST(ShellCompletion, HasEveryCommandAndFlag) {
  ASSERT_THAT(commands(),
              IsSupersetOf({"generate", "bench", "demo", "models", "completions", "man"}));
  for (const std::string& shell : kShells) {
    const Result script = run({"completions", shell});
    EXPECT_EQ(script.exit_code, 0);
    EXPECT_EQ(script.err, "");
    for (const std::string& command : commands()) {
      const auto flags = flags_of(command);
      EXPECT_THAT(flags, testing::Contains("--help"));
      for (const std::string& flag : flags) {
        const bool is_long = flag.starts_with("--");
        const std::string fish = (is_long ? " -l " : " -s ") + flag.substr(is_long ? 2 : 1) + " ";
        EXPECT_NE(script.out.find(shell == "fish" ? fish : flag), script.out.npos)
            << shell << ", " << flag;
      }
    }
  }
}

TEST(ShellCompletion, AnUnknownShellIsBadUsage) {
  const Result result = run({"completions", "tcsh"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("SHELL \"tcsh\": expected bash, zsh or fish"));
  EXPECT_THAT(run({"completions"}).err, HasSubstr("SHELL is required"));
}

class Bash : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_program("bash")) GTEST_SKIP() << "needs bash";
    write_file(script_, run({"completions", "bash"}).out);
  }

  // What is offered for the last of `words`, sorted.
  std::vector<std::string> offered(const std::string& words) {
    const std::string program = folder_.path("complete.bash");
    write_file(program, "source " + script_ + "\ncd " + folder_.path("") +
                            "\nkrait() { :; }\nCOMP_WORDS=(" + words +
                            ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_krait\n"
                            "printf '%s\\n' \"${COMPREPLY[@]}\" | sort\n");
    std::vector<std::string> lines;
    const std::string text = output_of("bash " + program);
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
      lines.push_back(text.substr(begin, end - begin));
    return lines;
  }

  test::TempFolder folder_;
  std::string script_ = folder_.path("krait.bash");
  const std::string krait_ = KRAIT_TEST_BINARY;
};

TEST_F(Bash, TakesTheScript) { EXPECT_EQ(output_of("bash -n " + script_), ""); }

TEST_F(Bash, CompletesCommandsFlagsAndWords) {
  EXPECT_THAT(offered("krait gen"), ElementsAre("generate"));
  EXPECT_THAT(offered("krait ''"), IsSupersetOf({"bench", "generate", "--version"}));
  EXPECT_THAT(offered("krait bench --dt"), ElementsAre("--dtype"));
  EXPECT_THAT(offered("krait bench --dtype q4"), ElementsAre("q4_0", "q4_k"));
  EXPECT_THAT(offered("krait bench --dtype = q4"), ElementsAre("q4_0", "q4_k"));
  EXPECT_THAT(offered("krait bench --dtype ="), testing::Contains("bf16"));
  EXPECT_THAT(offered("krait info --device ''"), ElementsAre("auto", "cpu", "cuda"));
  EXPECT_THAT(offered("krait info --color o"), ElementsAre("off", "on"));
  EXPECT_THAT(offered("krait score --log-level w"), ElementsAre("warn"));
  EXPECT_THAT(offered("krait completions ''"), ElementsAre("bash", "fish", "zsh"));
  EXPECT_THAT(offered("krait generate -n ''"), ElementsAre("")) << "a number: nothing to offer";
}

TEST_F(Bash, CompletesModelsAndFiles) {
  write_file(folder_.path("ta b*.txt"), "");
  EXPECT_THAT(offered(krait_ + " generate -m ta"), ElementsAre("ta b*.txt", "tales"));
  EXPECT_THAT(offered(krait_ + " generate -f ta"), ElementsAre("ta b*.txt"));
  EXPECT_THAT(offered(krait_ + " quantize ta"), ElementsAre("ta b*.txt", "tales"));
}

TEST(ShellCompletion, ShellsTakeTheScripts) {
  const test::TempFolder folder;
  int found = 0;
  for (const std::string& shell : kShells) {
    if (!has_program(shell)) continue;
    ++found;
    const auto program = hostile_program();
    const std::string hostile = shell == "bash"  ? cli::bash_completion(program)
                                : shell == "zsh" ? cli::zsh_completion(program)
                                                 : cli::fish_completion(program);
    for (const std::string& script : {run({"completions", shell}).out, hostile}) {
      write_file(folder.path("script"), script);
      EXPECT_EQ(output_of(shell + " -n " + folder.path("script")), "");
    }
  }
  if (found == 0) GTEST_SKIP() << "needs bash, zsh or fish";
}

TEST(ShellCompletion, ZshGetsItsOwnCharactersEscaped) {
  const std::string script = cli::zsh_completion(hostile_program());
  EXPECT_THAT(script, HasSubstr(R"(it'\''s \[a\] "b"\: \\c $(false))"));
  EXPECT_THAT(script, HasSubstr(R"(]:FILE\:\[x\]:_files')"));
}

// Offers of fish itself, one on a line with its description.
TEST(ShellCompletion, FishOffersWordsAndModels) {
  if (!has_program("fish")) GTEST_SKIP() << "needs fish";
  const test::TempFolder folder;
  write_file(folder.path("krait.fish"), run({"completions", "fish"}).out);
  const auto offered = [&](const std::string& line) {
    return output_of("HOME=" + folder.path("") + " fish -c 'source " + folder.path("krait.fish") +
                     "; complete -C \"" + line + "\"'");
  };
  EXPECT_THAT(offered("krait ben"), HasSubstr("bench\tMeasure speed"));
  EXPECT_THAT(offered("krait bench --dtype q4"), HasSubstr("q4_k"));
  EXPECT_THAT(offered("krait bench --dtype q4"), Not(HasSubstr("q8_0")));
  EXPECT_THAT(offered("krait bench --chu"), HasSubstr("--chunk\t"));
}

TEST(ManPage, HasEveryCommandAndFlag) {
  const Result page = run({"man"});
  EXPECT_EQ(page.exit_code, 0);
  EXPECT_EQ(page.err, "");
  EXPECT_THAT(page.out, testing::StartsWith(".TH KRAIT 1 "));
  for (const std::string& command : commands()) {
    EXPECT_NE(page.out.find(".SS \\fBkrait " + command + "\\fR\n"), page.out.npos) << command;
    for (const std::string& flag : flags_of(command)) {
      const std::string bold = "\\fB" + std::regex_replace(flag, std::regex("-"), "\\-") + "\\fR";
      EXPECT_NE(page.out.find(bold), page.out.npos) << bold;
    }
  }
}

TEST(ManPage, IsCleanRoff) {
  if (!has_program("groff")) GTEST_SKIP() << "needs groff";
  const test::TempFolder folder;
  for (const std::string& page : {run({"man"}).out, cli::man_page(hostile_program())}) {
    write_file(folder.path("krait.1"), page);
    EXPECT_EQ(output_of("groff -man -ww -z -Tutf8 " + folder.path("krait.1")), "");
  }
  const std::string text = output_of("groff -man -Tascii -P-c " + folder.path("krait.1"));
  for (const char* literal : {".TH it's [a] \"b\": \\c $(false) `d` ~ {e,f}", "'g -h"})
    EXPECT_THAT(text, HasSubstr(literal)) << "text stays text";
}

}  // namespace
}  // namespace krait
