"""Stages tests, sanitize and soak: what must hold on a GPU, beside the parity of logits."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from gpu.running import NotHere, status_of

TINY = {
    "mamba1": ["--d-model", 64, "--n-layer", 2],
    "mamba2": ["--architecture", "mamba2", "--d-model", 64, "--n-layer", 2, "--d-state", 32,
               "--head-dim", 32],
}


# ---- tests ----------------------------------------------------------------------------------
def read_gtest(report):
    """(counts, names of the failed with their first message) of googletest's JSON."""
    counts = {"tests": 0, "failed": 0, "skipped": 0}
    failed = []
    for suite in report.get("testsuites", []):
        for case in suite.get("testsuite", []):
            if case.get("status") == "NOTRUN":
                continue
            counts["tests"] += 1
            counts["skipped"] += case.get("result") == "SKIPPED"
            if case.get("failures"):
                counts["failed"] += 1
                message = case["failures"][0].get("failure", "").strip()
                failed.append(f"{suite['name']}.{case['name']}: {message[:300]}")
    return counts, failed


def read_gtest_output(output):
    """The same of what it printed, when it did not come to its report; and the last test begun."""
    def named(word, ending=""):
        return re.findall(rf"^\[ *{word} *\] (\S+){ending}", output, re.MULTILINE)
    failed = named("FAILED", r" \(\d+ ms\)")
    begun = named("RUN")
    counts = {"tests": len(begun), "failed": len(failed),
              "skipped": len(named("SKIPPED", r" \(\d+ ms\)"))}
    return counts, [f"{name} failed" for name in failed], begun[-1] if begun else "no test"


def run_tests(machine, flags):
    programs = machine.programs.tests
    if not programs:
        raise NotHere("no test program (test_gpu) was built")
    totals = {"tests": 0, "failed": 0, "skipped": 0}
    problems, complete = [], True
    for program in programs:  # few; each says SKIPPED and why where it finds no device
        report = machine.scratch / (Path(program).name + ".json")
        done = machine.run([program, f"--gtest_output=json:{report}", "--gtest_color=no"])
        skipped = re.search(r"^SKIPPED: .*", done.out, re.MULTILINE)
        if skipped:
            raise NotHere(skipped.group(0)) if not machine.on_gpu else RuntimeError(skipped.group(0))
        if report.exists():
            counts, failed = read_gtest(json.loads(report.read_text()))
            last = "its end"
        else:  # it crashed, or its time was up
            counts, failed, last = read_gtest_output(done.out)
            complete &= not done.timed_out
        totals = {key: totals[key] + counts[key] for key in totals}
        problems += failed
        if not done.passed and not done.timed_out and not (failed and report.exists()):
            problems.append(f"{Path(program).name}: {done.why()} in {last}")
    if machine.on_gpu and totals["tests"] and totals["skipped"] == totals["tests"]:
        problems.append("every test was skipped")
    return {"status": status_of(problems, complete), "problems": problems[:30], **totals}


# ---- sanitize -------------------------------------------------------------------------------
def find_sanitizer():
    found = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer")
    if not found:
        raise NotHere("no compute-sanitizer")
    return found


NO_SUMMARY = "no summary in the output of compute-sanitizer"


def sanitizer_findings(output):
    """The lines that matter of a report that is not clean; nothing for one that is."""
    summaries = re.findall(r"^=+ (?:\w+ )?SUMMARY: (\d+) (?:errors?|hazards?)", output,
                           re.MULTILINE)
    if summaries and all(number == "0" for number in summaries):
        return []
    lines = [line.strip("= ") for line in output.splitlines() if line.startswith("=====")]
    lines = [line for line in lines if line and not line.startswith("COMPUTE-SANITIZER")]
    return lines[:12] if summaries else [NO_SUMMARY, *lines[:11]]


def sanitize_jobs(machine):
    """(name, command): every tool on every way to run a model."""
    prompts = machine.scratch / "sanitize.txt"
    prompts.write_text("one\ntwo words\nthree more words\nfour\n")
    ids = ",".join(str(i % 300) for i in range(1, 70))
    jobs = []
    for tool in ("memcheck", "racecheck", "synccheck"):
        for name, settings in TINY.items():
            model = ["-m", machine.checkpoint(f"tiny-{name}", *settings)]
            results = machine.scratch / f"sanitize-{tool}-{name}.jsonl"
            commands = {
                "score": ["score", *model, "--ids", ids],
                "q8_0": ["score", *model, "--ids", ids, "--dtype", "q8_0"],
                "generate": ["generate", *model, "-p", "word", "-n", 6, "--ignore-eos", "-s", 1],
                "batch": ["batch", *model, "-i", prompts, "-o", results, "--slots", 4, "-n", 4,
                          "--ignore-eos"]}
            jobs += [(f"{tool}, {name}, {what}",
                      [find_sanitizer(), "--tool", tool, "--error-exitcode", "99",
                       *machine.krait(*command)]) for what, command in commands.items()]
    return sorted(jobs, key=lambda job: job[0].endswith("batch"))  # the slowest last


def run_sanitize(machine, flags):
    jobs = sanitize_jobs(machine)
    problems, clean = [], 0
    for (name, command), done in zip(jobs, machine.run_all([c for _, c in jobs], workers=4)):
        if not done.timed_out and NO_SUMMARY in sanitizer_findings(done.out + done.err):
            done = machine.run(command)  # it did not get to its work, perhaps for the others
        if done.timed_out:
            continue
        findings = sanitizer_findings(done.out + done.err)
        if findings or done.code != 0:
            problems.append(f"{name}: {done.why()}; {' | '.join(findings)}"[:1500])
        else:
            clean += 1
    complete = clean + len(problems) == len(jobs)
    return {"status": status_of(problems, complete), "problems": problems[:12], "runs": len(jobs),
            "clean": clean}


# ---- soak -----------------------------------------------------------------------------------
def used_mib(machine):
    """Memory of the GPU that is taken, by all."""
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "-i", machine.gpu_index,
                               "--format=csv,noheader,nounits"], capture_output=True, text=True,
                              timeout=10)
        return int(done.stdout.split()[0])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return None


def resident_mib(pid):
    try:
        text = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+)", text, re.MULTILINE).group(1)) / 1024
    except (OSError, AttributeError):
        return None


def growth(values):
    """From the first to the last of those that were read."""
    known = [v for v in values if v is not None]
    return round(known[-1] - known[0], 1) if known else None


def speed_change(samples):
    """The speed of the last third by that of the first; each sample is (seconds, bytes written).
    Nothing when there are too few."""
    if len(samples) < 6:
        return None
    third = len(samples) // 3
    (t0, b0), (t1, b1) = samples[0], samples[third]
    (t2, b2), (t3, b3) = samples[-1 - third], samples[-1]
    if b1 == b0 or t3 == t2:
        return None
    return round((b3 - b2) / (t3 - t2) / ((b1 - b0) / (t1 - t0)), 3)


def run_soak(machine, flags):
    folder = machine.checkpoint("tiny-mamba1", *TINY["mamba1"])
    samples = []  # seconds, bytes, MiB of the GPU, MiB of the process

    def watch(process, out):
        written = os.fstat(out.fileno()).st_size
        if written:  # loaded, and under way
            used = used_mib(machine) if machine.on_gpu else None
            samples.append((time.monotonic(), written, used, resident_mib(process.pid)))

    command = machine.krait("generate", "-m", folder, "-p", "once", "-n", flags.soak_tokens,
                            "--ignore-eos", "-s", 5)
    command.remove("-q")  # the statistics say how many there were
    done = machine.run(command, watch=watch)
    tokens = re.search(r"^decode\s+(\d+) tokens\s+([\d.]+) s\s+([\d.]+)", done.err, re.MULTILINE)
    result = {"tokens": int(tokens.group(1)) + 1 if tokens else None,
              "tok_s": float(tokens.group(3)) if tokens else None,
              "gpu_growth_mib": growth([s[2] for s in samples]),
              "process_growth_mib": growth([s[3] for s in samples]),
              "last_third_speed": speed_change([s[:2] for s in samples])}
    problems = []
    if not done.passed and not done.timed_out:
        problems.append(done.why())
    elif done.passed and result["tokens"] != flags.soak_tokens:
        problems.append(f"{result['tokens']} tokens, expected {flags.soak_tokens}")
    if (result["gpu_growth_mib"] or 0) > 2:
        problems.append(f"memory of the GPU grew by {result['gpu_growth_mib']} MiB")
    if (result["last_third_speed"] or 1) < 0.8:
        problems.append(f"the last third ran at {result['last_third_speed']} times the speed of "
                        "the first")
    return {"status": status_of(problems, not done.timed_out), "problems": problems, **result}
