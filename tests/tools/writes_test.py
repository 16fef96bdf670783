#!/usr/bin/env python3
"""krait writes the files that its command line names and the history of chats at a terminal, and
nothing else; it talks to no network and starts no program. Every command runs in a folder of its own
that is home, working and temporary folder, and what lies there is compared before and after. Where
there is strace, all calls that could write elsewhere or open a socket are looked at, too."""

import hashlib
import os
import pty
import re
import shutil
import subprocess
import tempfile
import termios
import unittest
from pathlib import Path

BINARY = os.environ["KRAIT_TEST_BINARY"]
HISTORY = "home/.local/state/krait/history"
CPU = ["--device", "cpu", "-t", "1"]
SHORT = [*CPU, "-n", "2", "-s", "1"]

# {command: [(arguments, what is written, relative to the folder)]}. In this order: some read what
# others wrote.
RUNS = {
    "generate": [(["-p", "Once", *SHORT], []),
                 (["-p", "Once", *SHORT, "--save-state", "text.state", "-v"], ["text.state"]),
                 (["--load-state", "text.state", *SHORT], []),
                 (["-p", "Once", *SHORT, "-m", "no-such-model"], [])],
    "chat": [(SHORT, []),
             ([*SHORT, "--save-state", "talk.state"], ["talk.state"])],
    "batch": [(["-i", "prompts.txt", "-o", "results.jsonl", *SHORT], ["results.jsonl"])],
    "score": [(["-p", "Once", *CPU], []),
              (["-p", "Once", *CPU, "--logits", "logits.npy"], ["logits.npy"]),
              (["--stream", *CPU], [])],
    "tokenize": [(["-p", "Once"], []), (["--decode", "5,6"], [])],
    "info": [([], []), (["-m", "tales.gguf"], [])],
    "models": [([], [])],
    "bench": [(["-p", "4", "-n", "2", "-r", "1", *CPU], [])],
    "quantize": [(["tales", "tales.gguf", "--type", "q8_0"], ["tales.gguf"]),
                 (["tales", "refused.gguf", "--type", "q9_9"], [])],
    "demo": [(["copying", "--quick", "-t", "1"], [])],
    "completions": [(["bash"], [])],
    "man": [([], [])],
}
FIRST = ["quantize"]  # the others may need what these write

# What a process may write to wherever it is: nothing is left of it.
ALWAYS = {"/proc/self/clear_refs"}
CHANGING = ("creat mkdir mkdirat rename renameat renameat2 unlink unlinkat rmdir link linkat symlink "
            "symlinkat chmod fchmodat chown lchown fchownat truncate mknod mknodat utimensat utime "
            "utimes setxattr lsetxattr mount").split()


def contents(folder):
    """{path: what is there}"""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) \
            if path.is_file() else "folder"
    return found


def calls(trace):
    """(name, arguments) of all calls that succeeded, whichever thread they are of. Those that were
    interrupted are written in two parts."""
    begun = {}
    for line in trace.splitlines():
        pid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>")
            continue
        resumed = re.match(r"\s*<\.\.\. \w+ resumed>(.*)", rest)
        if resumed:
            rest = begun.pop(pid, "") + resumed.group(1)
        call = re.match(r"\s*(\w+)\((.*)\)\s*= (\S+)", rest)
        if call and call.group(3) != "-1":
            yield call.group(1), call.group(2)


def suspicious(trace, folder, allowed):
    """Calls that write elsewhere, open sockets or start programs."""
    found, programs = [], 0
    for name, arguments in calls(trace):
        paths = re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)
        if name == "execve":
            programs += 1
            wrong = programs > 1
        elif name in ("open", "openat"):
            wrong = re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE", arguments) and \
                not may_write(paths[0], folder, allowed)
        elif name in CHANGING:
            wrong = any(not may_write(path, folder, allowed) for path in paths)
        else:
            wrong = name not in ("stat", "lstat", "newfstatat", "statx", "access", "faccessat",
                                 "faccessat2", "readlink", "readlinkat", "getcwd", "chdir", "statfs",
                                 "openat2", "name_to_handle_at")
        if wrong:
            found.append(f"{name}({arguments})")
    return found


def may_write(path, folder, allowed):
    """An output, its file while it is written, or a folder on the way to one."""
    if path in ALWAYS:
        return True
    path = os.path.normpath(os.path.join(folder, path))
    outputs = [str(folder / name) for name in allowed]
    return any(path == output or path == output + ".part" for output in outputs) or \
        any(output.startswith(path + "/") for output in outputs) and path != str(folder)


class WritesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name).resolve()
        for name in ("home", "tmp"):
            (cls.folder / name).mkdir()
        (cls.folder / "prompts.txt").write_text("Once\nTwice\n")
        cls.strace = shutil.which("strace")
        if cls.strace and subprocess.run([cls.strace, "-qq", "-e", "trace=none", "true"],
                                         capture_output=True).returncode != 0:
            cls.strace = None  # not allowed here

    def environment(self):
        environment = {k: v for k, v in os.environ.items()
                       if not re.match("XDG_|HF_|KRAIT_|HISTFILE", k)}
        environment.update(HOME=str(self.folder / "home"), TMPDIR=str(self.folder / "tmp"),
                           TERM="dumb")
        if self.strace:  # the leak sanitizer traces, too
            environment["ASAN_OPTIONS"] = "detect_leaks=0"
        return environment

    def traced(self, trace):
        if not self.strace:
            return []
        return [self.strace, "-f", "-qq", "-s", "4096", "-o", trace, "-e",
                "trace=%file,%network,execve"]

    def run_krait(self, command, arguments, allowed, talk=None):
        before = contents(self.folder)
        with tempfile.TemporaryDirectory() as elsewhere:
            trace = Path(elsewhere) / "trace"
            whole = [*self.traced(str(trace)), BINARY, command, *arguments]
            if talk is None:
                subprocess.run(whole, input=b"Once upon\n", capture_output=True, cwd=self.folder,
                               env=self.environment(), timeout=300)
            else:
                self.at_a_terminal(whole, talk)
            calls_made = trace.read_text(errors="replace") if self.strace else ""
        after = contents(self.folder)
        changed = {name for name in before.keys() | after.keys()
                   if before.get(name) != after.get(name)}
        folders = {str(parent) for name in allowed for parent in Path(name).parents}
        self.assertEqual(changed - folders, set(allowed))
        self.assertEqual(suspicious(calls_made, self.folder, allowed), [])
        if self.strace:
            self.assertIn(f'execve("{BINARY}"', calls_made)

    def at_a_terminal(self, command, lines):
        ours, theirs = pty.openpty()
        attributes = termios.tcgetattr(theirs)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs,
                                   cwd=self.folder, env=self.environment(), start_new_session=True)
        os.close(theirs)
        shown = b""
        for line in lines:
            while not shown.endswith(b"> "):
                shown += os.read(ours, 4096)
            shown = b""
            os.write(ours, line)
        try:
            while os.read(ours, 4096):
                pass
        except OSError:
            pass  # so ends a terminal
        self.assertEqual(process.wait(60), 0)
        os.close(ours)

    def test_every_command(self):
        for command in [*FIRST, *(c for c in RUNS if c not in FIRST)]:
            for arguments, written in RUNS[command]:
                with self.subTest(" ".join([command, *arguments])):
                    self.run_krait(command, arguments, written)

    def test_these_are_all_the_commands(self):
        shown = subprocess.run([BINARY, "--help"], capture_output=True, text=True).stdout
        section = shown.partition("\nCommands:\n")[2].partition("\n\n")[0]
        self.assertEqual(set(re.findall(r"^  (\w+)", section, re.MULTILINE)), set(RUNS))

    def test_a_chat_at_a_terminal_keeps_its_history(self):
        self.run_krait("chat", SHORT, [HISTORY], [b"Hello\r", b"\x04"])
        self.assertEqual((self.folder / HISTORY).read_text(), "Hello\n")

    def test_writing_elsewhere_would_be_seen(self):
        here = Path("/some/folder")
        for line in ['1 openat(AT_FDCWD, "/etc/x", O_WRONLY|O_CREAT, 0666) = 3',
                     '1 openat(AT_FDCWD, "y", O_RDWR) = 3',
                     '1 openat(AT_FDCWD, "out/../y", O_RDWR) = 3',
                     '1 rename("/some/folder/out.part", "/some/folder/other") = 0',
                     '1 unlink("/some/folder/in") = 0',
                     '1 mkdir("/some/folder/.cache", 0777) = 0',
                     "1 socket(AF_INET, SOCK_STREAM, 0) = 3",
                     "1 socket(AF_UNIX, SOCK_STREAM, 0 <unfinished ...>\n"
                     "1 <... socket resumed>) = 3",
                     '1 execve("/bin/krait", [], 1) = 0\n1 execve("/bin/sh", [], 1) = 0']:
            with self.subTest(line):
                self.assertEqual(len(suspicious(line, here, ["out"])), 1)
        for line in ['1 openat(AT_FDCWD, "/etc/x", O_RDONLY|O_CLOEXEC) = 3',
                     '1 openat(AT_FDCWD, "/some/folder/out.part", O_WRONLY|O_CREAT) = 3',
                     '1 rename("out.part", "out") = 0',
                     '1 mkdir("/etc/x", 0777) = -1 EACCES (Permission denied)']:
            with self.subTest(line):
                self.assertEqual(suspicious(line, here, ["out"]), [])


if __name__ == "__main__":
    unittest.main()
