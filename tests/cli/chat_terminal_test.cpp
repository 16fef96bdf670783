// krait chat at a terminal: keys, Ctrl-C, history, pasting.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/cli/run.h"
#include "tests/cli/terminal.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using testing::HasSubstr;
using testing::Not;

class ChatTerminal : public testing::Test {
 protected:
  std::vector<std::string> arguments(std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {"chat", "-m", test_model(), "-n", "5", "--greedy"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::vector<std::pair<std::string, std::string>> home() const {
    return {{"XDG_STATE_HOME", folder_.path()}, {"NO_COLOR", "1"}, {"KRAIT_NOHISTORY", ""}};
  }
  std::string history() const { return folder_.path("krait/history"); }

  test::TempFolder folder_;
};

// What this model repeats when nobody stops it.
const std::string kMuch = "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD";
constexpr const char *kCtrlC = "\x03", *kCtrlD = "\x04";

TEST_F(ChatTerminal, TalksRemembersAndLeaves) {
  Terminal terminal(arguments(), home());
  terminal.sees_prompt();
  terminal.type("Hello\r");
  terminal.sees("cut off after 5 tokens");
  terminal.sees_prompt();
  terminal.type("/undo\r");
  terminal.sees("took back 1 turn; main: 0 turns, 0 tokens");
  terminal.sees_prompt();
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.finish(), 0);
  EXPECT_EQ(read_file(history()), "Hello\n/undo\n");
  struct stat info = {};
  ASSERT_EQ(::stat(history().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  Terminal again(arguments(), home());
  again.sees_prompt();
  again.type("\x1b[A\x1b[A\r");  // twice up
  again.sees("cut off after 5 tokens");
  again.sees_prompt();
  again.type("/bye\r");
  EXPECT_EQ(again.finish(), 0);
}

TEST_F(ChatTerminal, AHistoryThatEndsInsideALineIsGoneOnWithOnTheNext) {
  folder_.write("krait/history", "one\ntor");
  Terminal terminal(arguments(), home());
  terminal.sees_prompt();
  terminal.type("/undo\r");
  terminal.sees_prompt();
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.finish(), 0);
  EXPECT_EQ(read_file(history()), "one\ntor\n/undo\n");
}

TEST_F(ChatTerminal, KeepsNoHistoryWhereNoneIsWanted) {
  auto environment = home();
  environment.back().second = "1";
  Terminal terminal(arguments(), environment);
  terminal.sees_prompt();
  terminal.type("/bye\r");
  EXPECT_EQ(terminal.finish(), 0);
  EXPECT_FALSE(std::filesystem::exists(history()));
}

TEST_F(ChatTerminal, CtrlCStopsTheAnswerAndKeepsIt) {
  Terminal terminal(arguments({"-n", "-1", "--ignore-eos"}), home());
  terminal.sees_prompt();
  terminal.type("Hello\r");
  terminal.sees(kMuch);
  terminal.type(kCtrlC);
  terminal.sees("(stopped)");
  terminal.sees_prompt();
  terminal.type("/show messages\r");
  terminal.sees("user: Hello");
  terminal.sees("assistant: " + kMuch);
  terminal.sees_prompt();
  terminal.type("And again\r");
  terminal.sees(kMuch);
  terminal.type(kCtrlC);
  terminal.sees("(stopped)");
  terminal.sees_prompt();
  terminal.type("/branches\r");
  terminal.sees("2 turns");
  terminal.sees_prompt();
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.finish(), 0);
}

TEST_F(ChatTerminal, CtrlCAtThePromptForgetsTheLine) {
  Terminal terminal(arguments(), home());
  terminal.sees_prompt();
  for (int i = 0; i < 5; ++i) {
    terminal.type("/bye");
    terminal.type(kCtrlC);
    terminal.sees("^C");
    terminal.sees_prompt();
  }
  terminal.type("\r/stats\r");
  terminal.sees("this branch: 0 turns");
  terminal.sees_prompt();
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.finish(), 0);
}

TEST_F(ChatTerminal, WhatIsPastedIsOneMessage) {
  Terminal terminal(arguments(), home());
  terminal.sees_prompt();
  terminal.type("\x1b[200~first\rsecond\x03\x1b[31m\nth\xC3\xA4rd\n\x1b[201~\r");
  terminal.sees("cut off");
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "line " + std::to_string(i) + "\n";
  terminal.sees_prompt();
  terminal.type("See: \x1b[200~" + lines + "\x1b[201~.\r");
  terminal.sees("[pasted text 1: 100 lines");
  terminal.sees("cut off");
  terminal.sees_prompt();
  terminal.type("/bye\r");
  EXPECT_EQ(terminal.finish(), 0);
  const std::string kept = read_file(history());
  EXPECT_THAT(kept, HasSubstr("first\\nsecond[31m\\nth\xC3\xA4rd\n"));
  EXPECT_THAT(kept, HasSubstr("See: line 0\\nline 1\\n"));
  EXPECT_THAT(kept, HasSubstr("\\nline 99.\n"));
}

TEST_F(ChatTerminal, TabCompletesCommandsBranchesAndFiles) {
  folder_.write("some-file", "Hello");
  Terminal terminal(arguments(), home());
  terminal.sees_prompt();
  terminal.type("/fo\tother-branch\r");
  terminal.sees("now on other-branch");
  terminal.sees_prompt();
  terminal.type("/bra\t\r");
  terminal.sees("* other-branch");
  terminal.sees_prompt();
  terminal.type("/switch ma\t\r");
  terminal.sees("main: 0 turns");
  terminal.sees_prompt();
  terminal.type("/read " + folder_.path("so") + "\t\r");
  terminal.sees("(5 bytes from ");
  terminal.sees_prompt();
  terminal.type("/s\t");
  terminal.sees("/save");
  terminal.sees("/system");
  terminal.sees_prompt();
  terminal.type(kCtrlC);
  terminal.sees("^C");
  terminal.sees_prompt();
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.finish(), 0);
}

TEST_F(ChatTerminal, MistakesAreToldAndTheChatGoesOn) {
  Terminal terminal(arguments(), home());
  terminal.sees_prompt();
  const std::vector<std::pair<std::string, std::string>> mistakes = {
      {"/nope", "there is no command /nope"},
      {"/halp", "did you mean /help?"},
      {"/undo x", "/undo x: expected how many turns"},
      {"/undo", "there is nothing to undo"},
      {"/regen", "there is no answer yet"},
      {"/switch nowhere", "there is no branch \"nowhere\""},
      {"/fork main", "there is a branch \"main\" already"},
      {"/fork", "/fork NAME: a value is missing"},
      {"/bye now", "/bye: it takes nothing after it"},
      {"/set temp hot", "temp hot: expected a number"},
      {"/set top-p 7", "--top-p 7: expected"},
      {"/set heat 1", "there is no setting 'heat'"},
      {"/set temp", "temp: a value is missing; it is 0 now"},
      {"/show all", "/show all: expected messages"},
      {"/load /no/such", "/no/such: No such file"},
      {"/read /no/such", "/no/such: No such file"},
      {"/save /no/such/folder", "/no/such/folder"},
  };
  for (const auto& [command, message] : mistakes) {
    terminal.type(command + "\r");
    if (!terminal.sees(message)) return;
    terminal.sees_prompt();
  }
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.finish(), 0);
}

TEST_F(ChatTerminal, AnEditorWritesTheMessage) {
  auto environment = home();
  const std::string editor =
      folder_.write("editor", "#!/bin/sh\nprintf 'from outside\\n' > \"$1\"");
  std::filesystem::permissions(editor, std::filesystem::perms::owner_all);
  environment.emplace_back("VISUAL", editor);
  Terminal terminal(arguments(), environment);
  terminal.sees_prompt();
  terminal.type("/edit\r");
  terminal.sees("from outside");
  terminal.sees("cut off");
  terminal.sees_prompt();
  terminal.type("/show messages\r");
  terminal.sees("user: from outside");
  terminal.sees_prompt();
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.finish(), 0);
}

// In whatever the program is about: the terminal is as before, and the conversation is kept.
TEST_F(ChatTerminal, SignalsThatEndItRestoreTheTerminalAndKeepTheConversation) {
  const std::string state = folder_.path("state");
  const auto with_state = arguments({"--save-state", state});
  const auto answered = [&](Terminal& terminal) {
    terminal.sees_prompt();
    terminal.type("Hello\r");
    terminal.sees("cut off");
    terminal.sees_prompt();
  };
  const auto expect_kept = [&] {
    EXPECT_THAT(run(arguments({"--load-state", state}), "/show messages\n").err,
                HasSubstr("user: Hello"));
    std::filesystem::remove(state);
  };
  for (const int signal : {SIGTERM, SIGHUP}) {
    Terminal terminal(with_state, home());
    answered(terminal);
    terminal.type("half a li");
    terminal.sees("half a li");
    terminal.send(signal);
    EXPECT_EQ(terminal.finish(), 130);
    EXPECT_TRUE(terminal.is_restored());
    expect_kept();
  }
  {
    Terminal terminal(with_state, home());
    answered(terminal);
    EXPECT_EQ(terminal.hang_up(), 130);
    expect_kept();
  }
  for (int i = 0; i < 5; ++i) {  // at once, also inside the editor
    Terminal terminal(arguments(), home());
    terminal.sees_prompt();
    terminal.send(SIGTERM);
    terminal.send(SIGINT);
    EXPECT_EQ(terminal.finish(), 130);
    EXPECT_TRUE(terminal.is_restored());
  }
}

}  // namespace
}  // namespace krait
