#!/usr/bin/env python3
"""tools/gpu_check without a GPU: what its parts read and print, and the whole command with programs
that only pretend. With KRAIT_TEST_BINARY and KRAIT_TEST_MAKE_CHECKPOINT set, also with the real ones
on the CPU."""

import array
import importlib.machinery
import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path
from types import SimpleNamespace

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"
GPU_CHECK = TOOLS / "gpu_check"
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))

from gpu import checks, figures, packing, parity, running  # noqa: E402
from gpu.running import Machine, Programs, Unusable  # noqa: E402

loader = importlib.machinery.SourceFileLoader("gpu_check", str(GPU_CHECK))
gpu_check = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_check", loader))
loader.exec_module(gpu_check)

BENCH_LINE = json.dumps({
    "model": "/x", "dtype": "bf16", "batch": 4, "n_prompt": 0, "n_gen": 16,
    "tok_s": {"median": 4000.0, "min": 3000.0, "max": 5000.0}, "weight_bytes_per_token": 10**9,
    "gflop_s": 1.0})


def machine_in(folder, **programs):
    needed = {"krait": "/bin/false", "make_checkpoint": "/bin/false"} | programs
    return Machine(Programs(**needed), "cuda", folder, io.StringIO())


def write_program(folder, name, text):
    path = Path(folder) / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


class InFolder(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)

    def tearDown(self):
        self.temporary.cleanup()


class FlagsTest(unittest.TestCase):
    def test_stages_run_in_one_order_whatever_the_flag_says(self):
        self.assertEqual(gpu_check.stage_list("soak,bench,device"), ["device", "bench", "soak"])

    def test_a_limit_changes_one_stage(self):
        found = gpu_check.limits("bench=7,soak=2.5")
        self.assertEqual((found["bench"], found["soak"]), (7, 2.5))
        self.assertEqual(found["parity"], gpu_check.LIMITS_S["parity"])

    def test_mistakes(self):
        for arguments, words in [(["--stages", "bench,nothing"], "no stage nothing"),
                                 (["--limit", "bench=soon"], "expected STAGE=SECONDS"),
                                 (["--shapes", "mamba-9b"], "no shape mamba-9b"),
                                 (["--batch", "1,,2"], "whole numbers from 1"),
                                 (["--device", "gpu"], "expected cpu, cuda or cuda:N"),
                                 (["--run", "/nothing"], "--out"),
                                 (["--run", "/nothing", "--out", "/tmp"], "not a pack"),
                                 (["--table", "/nothing"], "not a file of tools/gpu_check")]:
            done = subprocess.run([sys.executable, str(GPU_CHECK), *arguments], capture_output=True,
                                  text=True, timeout=60)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(words, done.stderr)
            self.assertNotIn("Traceback", done.stderr)


class BenchTest(unittest.TestCase):
    def test_the_first_type_of_all_shapes_comes_first(self):
        self.assertEqual(figures.bench_plan(["a", "b"], ["bf16", "q8_0"]),
                         [("a", "bf16"), ("b", "bf16"), ("a", "q8_0"), ("b", "q8_0")])

    def test_a_line_cut_off_by_the_limit_is_left_out(self):
        text = BENCH_LINE + "\nnoise\n" + BENCH_LINE + "\n" + BENCH_LINE[:40]
        self.assertEqual(len(figures.read_bench(text)), 2)

    def test_share_counts_weights_once_and_states_twice(self):
        row = figures.bench_row("shape", json.loads(BENCH_LINE), 125 * 10**6, 4000.0)
        # 1,000 steps a second, each of 1 GB and 4 states of 0.125 GB, read and written.
        self.assertAlmostEqual(row["gb_s"], 2000.0)
        self.assertAlmostEqual(row["read_share"], 0.5)
        self.assertIsNone(figures.bench_row("s", json.loads(BENCH_LINE), 0, None)["read_share"])

    def test_the_roof_is_the_better_way_to_read(self):
        report = {"stages": {"micro": {"read_plain_gb_s": 3000.0, "read_bulk_gb_s": 3100.0}}}
        self.assertEqual(figures.read_roof(report), 3100.0)
        report["stages"]["micro"]["read_bulk_gb_s"] = None
        self.assertEqual(figures.read_roof(report), 3000.0)
        self.assertIsNone(figures.read_roof({"stages": {}}))


def write_npy(path, numbers, descr="<f4", shape=None):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape or (len(numbers),)})
    header = header.ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                     array.array("f", numbers).tobytes())


class ParityTest(InFolder):
    def test_npy(self):
        write_npy(self.folder / "a.npy", [1, 2.5, -3], shape=(1, 3))
        self.assertEqual(list(parity.read_npy(self.folder / "a.npy")), [1, 2.5, -3])
        write_npy(self.folder / "b.npy", [1, 2], descr="<i4")
        write_npy(self.folder / "c.npy", [1, 2], shape=(3, 1))
        for name in ("b.npy", "c.npy"):
            with self.assertRaises(ValueError):
                parity.read_npy(self.folder / name)

    def test_difference_is_relative_to_the_largest(self):
        self.assertAlmostEqual(parity.difference([1.0, -8.0], [1.5, -10.0]), 0.2)
        for ours, theirs in [([float("nan"), 1.0], [1.0, 1.0]), ([1.0], [1.0, 2.0]), ([], []),
                             ([float("inf")], [1.0]), ([0.0], [0.0])]:
            self.assertEqual(parity.difference(ours, theirs), float("inf"), ours)

    def compared(self, **changes):
        logits = {f"mamba1-bf16-{part}": array.array("f", [1, -2, 3])
                  for part in ("device", "cpu", "chunk1", "chunk7", "chunk2048")}
        logits |= {f"mamba1-bf16-{part}": array.array("f", v) for part, v in changes.items()}
        checked = parity.Parity(machine_in(self.folder))
        return checked.compare(logits), checked.problems

    def test_equal_logits_pass(self):
        rows, problems = self.compared()
        self.assertEqual(problems, [])
        self.assertEqual([(r["model"], r["dtype"], r["error"]) for r in rows],
                         [("mamba1", "bf16", 0.0)])
        self.assertEqual(rows[0]["same_bits"], {"1": True, "7": True, "2048": True})

    def test_a_difference_from_the_cpu_is_a_problem(self):
        rows, problems = self.compared(cpu=[1, -2, 3.02])
        self.assertIn("expected at most 2e-03", problems[0])
        self.assertGreater(rows[0]["error"], 2e-3)

    def test_other_bits_in_chunks_are_a_problem(self):
        rows, problems = self.compared(chunk7=[1, -2, 3.0000002])
        self.assertIn("--chunk 7 gives other bits", problems[0])
        self.assertFalse(rows[0]["same_bits"]["7"])

    def test_texts_are_in_the_order_of_the_prompts(self):
        lines = [{"id": f"krait-{i}-ff", "response": {"body": {"choices": [{"text": f"t{i}"}]}}}
                 for i in (10, 2, 1)]
        (self.folder / "r").write_text("\n".join(map(json.dumps, lines)))
        self.assertEqual(parity.texts_of(self.folder / "r"), ["t1", "t2", "t10"])


class ChecksTest(InFolder):
    def test_gtest_report(self):
        report = {"testsuites": [{"name": "A", "testsuite": [
            {"name": "good", "status": "RUN", "result": "COMPLETED"},
            {"name": "bad", "status": "RUN", "result": "COMPLETED",
             "failures": [{"failure": "file:3\nExpected 1"}]},
            {"name": "no_gpu", "status": "RUN", "result": "SKIPPED"},
            {"name": "off", "status": "NOTRUN", "result": "SUPPRESSED"}]}]}
        counts, failed = checks.read_gtest(report)
        self.assertEqual(counts, {"tests": 3, "failed": 1, "skipped": 1})
        self.assertEqual(failed, ["A.bad: file:3\nExpected 1"])

    def test_a_crash_names_its_test(self):
        crash = write_program(self.folder, "test_gpu", "echo '[ RUN      ] A.a'; echo "
                              "'[  FAILED  ] A.a (3 ms)'; echo '[ RUN      ] B.b'; kill -11 $$")
        found = checks.run_tests(machine_in(self.folder, tests=[crash]), None)
        self.assertEqual((found["status"], found["tests"], found["failed"]), ("failed", 2, 1))
        self.assertEqual(found["problems"], ["A.a failed", "test_gpu: signal 11: "
                                             "[ RUN      ] B.b in B.b"])

    def test_no_device_is_no_success(self):
        none = write_program(self.folder, "test_gpu", "echo 'SKIPPED: no driver'")
        machine = machine_in(self.folder, tests=[none])
        with self.assertRaisesRegex(RuntimeError, "SKIPPED: no driver"):
            checks.run_tests(machine, None)
        machine.device = "cpu"
        with self.assertRaises(running.NotHere):
            checks.run_tests(machine, None)

    def test_tests_that_were_all_skipped_prove_nothing(self):
        report = json.dumps({"testsuites": [{"name": "A", "testsuite": [
            {"name": "x", "status": "RUN", "result": "SKIPPED"}]}]})
        skipped = write_program(self.folder, "test_gpu",
                                f"echo '{report}' > ${{1#--gtest_output=json:}}")
        found = checks.run_tests(machine_in(self.folder, tests=[skipped]), None)
        self.assertEqual((found["status"], found["problems"]),
                         ("failed", ["every test was skipped"]))

    def test_sanitizer(self):
        clean = "========= COMPUTE-SANITIZER\nok\n========= ERROR SUMMARY: 0 errors\n"
        races = ("========= COMPUTE-SANITIZER\n"
                 "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n")
        dirty = ("========= COMPUTE-SANITIZER\n========= Invalid __global__ read of size 16\n"
                 "=========     at scan\n========= ERROR SUMMARY: 2 errors\n")
        self.assertEqual(checks.sanitizer_findings(clean), [])
        self.assertEqual(checks.sanitizer_findings(races), [])
        self.assertEqual(checks.sanitizer_findings(dirty)[0], "Invalid __global__ read of size 16")
        self.assertIn("no summary", checks.sanitizer_findings("nothing")[0])

    def test_speed_of_the_last_third(self):
        steady = [(i, 100 * i) for i in range(30)]
        slower = [(i, 100 * i if i < 15 else 1500 + 50 * (i - 15)) for i in range(30)]
        self.assertEqual(checks.speed_change(steady), 1.0)
        self.assertAlmostEqual(checks.speed_change(slower), 0.5)
        self.assertIsNone(checks.speed_change(steady[:5]))
        self.assertEqual(checks.growth([None, 10, 12.25]), 2.2)


class RunningTest(InFolder):
    def test_the_limit_keeps_what_was_printed(self):
        slow = write_program(self.folder, "slow", "echo first; sleep 60; echo second")
        with unittest.mock.patch.object(running, "GRACE_S", 0.1):
            done = machine_in(self.folder).run([slow], limit=0.3)
        self.assertTrue(done.timed_out)
        self.assertFalse(done.passed)
        self.assertEqual(done.out, "first\n")
        self.assertLess(done.seconds, 20)

    def test_a_stage_that_is_over_runs_nothing_more(self):
        machine = machine_in(self.folder)
        machine.deadline = 0.0
        self.assertTrue(machine.run(["/bin/true"]).timed_out)

    def test_reasons(self):
        bad = write_program(self.folder, "bad", "echo some; echo why >&2; exit 3")
        machine = machine_in(self.folder)
        self.assertEqual(machine.run([bad]).why(), "exit code 3: why")
        self.assertIn("No such file", machine.run(["/no/program"]).why())


class PackingTest(InFolder):
    def test_kinds_of_libraries(self):
        for name, kind in [("libc.so.6", "system"), ("ld-linux-x86-64.so.2", "system"),
                           ("libm.so.6", "system"), ("libcuda.so.1", "system"),
                           ("libstdc++.so.6", "fallback"), ("libgcc_s.so.1", "fallback"),
                           ("libcublasLt.so.13", "toolkit"), ("libpcre2-8.so.0", "taken"),
                           ("libmd.so.0", "taken")]:
            self.assertEqual(packing.kind_of(name), kind, name)

    def test_ldd(self):
        text = ("\tlinux-vdso.so.1 (0x7fff)\n\tlibfmt.so.9 => /lib/libfmt.so.9 (0x7f)\n"
                "\tlibgone.so.1 => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n")
        self.assertEqual(packing.read_ldd(text), {"libfmt.so.9": "/lib/libfmt.so.9",
                                                  "libgone.so.1": None})

    def test_toolkit_libraries_are_looked_for(self):
        (self.folder / "libcublasLt.so.13").touch()
        places = ["/nowhere", str(self.folder)]
        self.assertEqual(packing.toolkit_folders(["libcublasLt.so.13"], places),
                         [str(self.folder)])
        with self.assertRaisesRegex(Unusable, "libcublas.so.13: not on this machine"):
            packing.toolkit_folders(["libcublas.so.13"], places)

    def test_a_folder_with_other_things_is_left_alone(self):
        (self.folder / "mine").touch()
        with self.assertRaisesRegex(Unusable, "not empty"):
            packing.empty_folder(self.folder)
        (self.folder / packing.MANIFEST).touch()
        packing.empty_folder(self.folder)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_size(self):
        with (self.folder / "big").open("wb") as file:
            file.truncate((packing.LIMIT_MIB << 20) + 1)
        with self.assertRaisesRegex(Unusable, "largest: big 60.0"):
            packing.check_size(self.folder)

    def test_all_scripts_are_there(self):
        imported = {f"gpu/{p.name}" for p in (TOOLS / "gpu").glob("*.py")} | {"gpu_check"}
        self.assertEqual(set(packing.SCRIPTS), imported)


class StageTest(InFolder):
    def stage(self, work, end=float("inf")):
        flags = SimpleNamespace(limit={"bench": 5.0})
        return gpu_check.run_stage("bench", work, machine_in(self.folder), flags, end)

    def test_a_mistake_ends_only_its_stage(self):
        def broken():
            raise KeyError("x")
        found = self.stage(broken)
        self.assertEqual((found["status"], found["problems"]), ("failed", ["KeyError: 'x'"]))

    def test_what_is_not_here(self):
        def missing():
            raise gpu_check.NotHere("no PyTorch")
        self.assertEqual(self.stage(missing)["status"], "not here")
        self.assertEqual(self.stage(lambda: {"status": "passed"}, end=0.0)["status"], "left out")


@unittest.skipUnless(os.environ.get("KRAIT_TEST_MAKE_CHECKPOINT"), "no krait to test with")
class WholeTest(InFolder):
    """A pack made by hand, run on the CPU."""

    def pack(self, test_program):
        programs = self.folder / "pack" / "bin"
        programs.mkdir(parents=True)
        (programs / "krait").symlink_to(os.environ["KRAIT_TEST_BINARY"])
        (programs / "make_checkpoint").symlink_to(os.environ["KRAIT_TEST_MAKE_CHECKPOINT"])
        write_program(programs, "test_gpu", test_program)
        (self.folder / "pack" / packing.MANIFEST).write_text(json.dumps(
            {"krait": "of a test", "glibc": "2.0", "tests": ["test_gpu"]}))

    def run_pack(self, *flags):
        command = [sys.executable, str(GPU_CHECK), "--run", str(self.folder / "pack"), "--out",
                   str(self.folder / "out"), "--scratch", str(self.folder / "scratch"),
                   "--shapes", "tiny-mamba", "--dtypes", "bf16", "--n-prompt", "16", "--n-gen", "4",
                   "--batch", "1,2", "--repetitions", "1", "--soak-tokens", "500", *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        file = self.folder / "out" / "gpu_check.json"
        return done, json.loads(file.read_text())["stages"] if file.exists() else {}

    def test_stages_on_the_cpu(self):
        empty = json.dumps({"testsuites": []})
        self.pack(f"echo '{empty}' > ${{1#--gtest_output=json:}}")
        done, stages = self.run_pack("--device", "cpu", "--stages", "device,tests,bench,soak")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({name: stage["status"] for name, stage in stages.items()},
                         dict.fromkeys(["device", "tests", "bench", "soak"], "passed"))
        self.assertEqual([(r["n_prompt"], r["batch"]) for r in stages["bench"]["results"]],
                         [(16, 1), (0, 1), (0, 2)])
        self.assertEqual(stages["soak"]["tokens"], 500)
        self.assertIn("| tiny-mamba | bf16 |", done.stdout)
        self.assertEqual(list((self.folder / "scratch").iterdir()), [])

    def test_a_failed_check_is_exit_code_1(self):
        self.pack("exit 4")
        done, stages = self.run_pack("--device", "cpu", "--stages", "tests")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("test_gpu: exit code 4", stages["tests"]["problems"][0])


if __name__ == "__main__":
    unittest.main()
