#!/usr/bin/env python3
"""tools/compare with programs that only print: speeds, order of the runs, and everything that can be
wrong. With KRAIT_TEST_BINARY set, once with the real krait."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

COMPARE = Path(__file__).resolve().parent.parent.parent / "tools" / "compare"

# Speeds grow with every call, so that the pairing of rounds shows: the count is a file.
FAKE_PEER = r"""#!/bin/sh
count=$(($(cat "$0.count" 2>/dev/null || echo 0) + 1)); echo $count > "$0.count"
echo "peer $*" >> "$(dirname "$0")/log"
echo "noise" >&2
cat <<END
[ {"build_commit": "abc123", "build_number": 77, "n_threads": 2, "n_prompt": 64, "n_gen": 0,
   "n_depth": 0, "avg_ts": 1.0, "samples_ts": [${count}0.0]},
  {"build_commit": "abc123", "build_number": 77, "n_threads": 2, "n_prompt": 0, "n_gen": 8,
   "n_depth": 0, "avg_ts": 5.0} ]
END
"""

FAKE_KRAIT = r"""#!/bin/sh
if [ "$1" = --version ]; then echo "krait 9.8.7"; exit; fi
echo "krait $*" >> "$(dirname "$0")/log"
machine='"dtype": "q8_0", "cpu": "CPU NAME", "isa": "avx512"'
echo "{$machine, \"n_prompt\": 64, \"n_gen\": 0, \"depth\": 0, \"tok_s\": {\"median\": 60.0}, \
\"gflop_share\": 0.25}"
echo "{$machine, \"n_prompt\": 0, \"n_gen\": 8, \"depth\": 0, \"tok_s\": {\"median\": 10.0}, \
\"roof_gb_s\": 33.3, \"roof_share\": 0.5}"
"""


class CompareTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.krait = self.program("krait", FAKE_KRAIT)
        self.peer = self.program("llama-bench", FAKE_PEER)
        self.gguf = self.path("m.gguf")
        Path(self.gguf).write_text("x")

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name):
        return str(Path(self.folder.name) / name)

    def program(self, name, text):
        Path(self.path(name)).write_text(text)
        os.chmod(self.path(name), 0o755)
        return self.path(name)

    def log(self):
        return Path(self.path("log")).read_text().splitlines()

    def run_compare(self, *arguments, krait=None, peer=None, lengths=("-p", "64", "-n", "8")):
        command = [sys.executable, str(COMPARE), "--krait", krait or self.krait, "--peer",
                   "fake=" + (peer or self.peer), *lengths, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def refused(self, words, *arguments, **others):
        result = self.run_compare(*arguments, **others)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertIn(words, result.stderr)
        self.assertNotIn("Traceback", result.stderr)

    def test_medians_ratios_and_the_machine(self):
        result = self.run_compare("--rounds", "3", "-t", "2", self.gguf)
        self.assertEqual(result.returncode, 0, result.stderr)
        # The peer's prefill: 10, 20, 30; krait's always 60.
        self.assertIn("| m.gguf | q8_0 | 2 | pp64 | 60.0 | 25% | 20.0 | 3.00 (2.00-6.00) |",
                      result.stdout)
        self.assertIn("| m.gguf | q8_0 | 2 | tg8 | 10.0 | 50% | 5.0 | 2.00 (2.00-2.00) |",
                      result.stdout)
        self.assertIn("krait (9.8.7); fake (abc123, build 77)", result.stdout)
        self.assertIn("CPU NAME", result.stdout)
        self.assertIn("avx512, read bandwidth 33.3 GB/s; 2", result.stdout)
        self.assertIn("medians of 3 rounds", result.stdout)
        self.assertIn("round 3 of 3: fake", result.stderr)

    def test_programs_run_in_turn_and_another_begins_each_round(self):
        self.run_compare("--rounds", "3", "-t", "1", self.gguf)
        self.assertEqual([line.split()[0] for line in self.log()],
                         ["krait", "peer", "peer", "krait", "krait", "peer"])

    def test_flags_reach_the_programs(self):
        model = self.path("folder:x")
        other = self.run_compare("--rounds", "1", "-t", "1,2", "-r", "4", "--peer-args",
                                 "fake=-rtr 1", f"{model}:q4_k={self.gguf}")
        self.assertEqual(other.returncode, 0, other.stderr)
        self.assertEqual(self.log(), [
            f"krait bench -m {model} --json --dtype q4_k -p 64 -n 8 -t 1 -r 4",
            f"peer -rtr 1 -m {self.gguf} -o json -p 64 -n 8 -t 1 -r 4",
            f"krait bench -m {model} --json --dtype q4_k -p 64 -n 8 -t 2 -r 4",
            f"peer -rtr 1 -m {self.gguf} -o json -p 64 -n 8 -t 2 -r 4"])
        self.assertEqual(other.stdout.count("| folder:x |"), 4)

    def test_mistakes(self):
        self.refused("--krait /no/krait: there is no such program", self.gguf, krait="/no/krait")
        self.refused("--peer /no/peer: there is no such program", self.gguf, peer="/no/peer")
        self.refused("there is no file nothing.gguf", "nothing.gguf")
        self.refused("there is no file nothing.gguf", "model=nothing.gguf")
        self.refused("expected FILE.gguf", "=" + self.gguf)
        self.refused("expected NAME=VALUE", "--peer", "path-only", self.gguf)
        self.refused("the name fake is taken", "--peer", "fake=" + self.peer, self.gguf)
        self.refused("there is no --peer of this name", "--peer-args", "other=-x", self.gguf)
        self.refused("--rounds 0", "--rounds", "0", self.gguf)
        self.refused("whole numbers from 1", "-t", "0", self.gguf)
        self.refused("nothing to measure", self.gguf, lengths=("-p", "0", "-n", "0"))

    def test_programs_that_fail(self):
        def peer(text):
            return self.program("bad", "#!/bin/sh\n" + text)
        self.refused("exit code 3\n  line 2", self.gguf, peer=peer("echo line 2 >&2; exit 3"))
        self.refused("signal 9", self.gguf, peer=peer("kill -9 $$"))
        self.refused("not the JSON", self.gguf, peer=peer("echo hello"))
        self.refused("not the JSON", self.gguf, peer=peer("echo '{}'; echo '{}'"))
        self.refused("not the JSON", self.gguf, peer=peer("echo '[1]'"))
        self.refused("no result of pp64", self.gguf, peer=peer("echo '[]'"))
        one = '[{"n_prompt": 64, "n_gen": 0%s}]'
        self.refused("no speed in its output", self.gguf, peer=peer(f"echo '{one % ''}'"))
        self.refused("found a speed of 0", self.gguf,
                     peer=peer("echo '%s'" % (one % ', "avg_ts": 0')))
        self.refused("no end after 0.2 s", "--timeout", "0.2", self.gguf, peer=peer("sleep 5"))
        self.refused("exit code 1", self.gguf, krait=self.program("k", "#!/bin/sh\nexit 1"))

    @unittest.skipUnless(os.environ.get("KRAIT_TEST_BINARY"), "no krait to test with")
    def test_the_real_krait(self):
        # The bundled model; the peer's file only has to exist.
        result = self.run_compare("--rounds", "1", "-t", "1", f"tales:q8_0={self.gguf}",
                                  krait=os.environ["KRAIT_TEST_BINARY"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"\| tales \| q8_0 \| 1 \| pp64 \| \d+\.\d \| \d+% \|")
        self.assertRegex(result.stdout, r"read bandwidth \d+\.\d GB/s")


if __name__ == "__main__":
    unittest.main()
