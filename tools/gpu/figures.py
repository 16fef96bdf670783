"""Stages device, micro, bench and peers: what the machine is, and how fast."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from gpu.running import NotHere, Unusable, status_of

SMI_FIELDS = {
    "name": "name", "driver": "driver_version", "memory_mib": "memory.total",
    "compute_capability": "compute_cap", "power_limit_w": "power.limit",
    "max_sm_mhz": "clocks.max.sm", "max_memory_mhz": "clocks.max.memory",
    "sm_mhz": "clocks.sm", "temperature_c": "temperature.gpu", "used_mib": "memory.used"}

# Shapes of the benchmark, by importance; "tiny" ones are for rehearsals.
SHAPES = ["mamba-130m", "mamba-370m", "mamba-1.4b", "mamba-2.8b", "mamba2-1.3b"]
GIGABYTES = {"mamba-130m": 0.3, "mamba-370m": 0.8, "mamba-1.4b": 2.8, "mamba-2.8b": 5.6,
             "mamba2-1.3b": 2.8}  # of bf16 weights
TINY_SHAPES = {
    "tiny-mamba": ["--d-model", 64, "--n-layer", 2],
    "tiny-mamba2": ["--architecture", "mamba2", "--d-model", 64, "--n-layer", 2, "--d-state", 32]}
DTYPES = ["bf16", "q8_0", "q4_0"]
WRITING_S = 600  # the most that writing the checkpoints may take


# ---- device ---------------------------------------------------------------------------------
def number(text):
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value == int(value) else value


def gpu_facts(machine):
    command = ["nvidia-smi", "-i", machine.gpu_index, "--format=csv,noheader,nounits",
               "--query-gpu=" + ",".join(SMI_FIELDS.values())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unusable(f"no NVIDIA GPU can be asked for: nvidia-smi: {error}") from error
    values = [item.strip() for item in done.stdout.strip().split(",")]
    if done.returncode != 0 or len(values) != len(SMI_FIELDS):
        raise Unusable(f"no NVIDIA GPU {machine.gpu_index}: nvidia-smi: "
                       f"{(done.stderr or done.stdout).strip()[:300]}")
    return {key: value if key in ("name", "driver", "compute_capability") else number(value)
            for key, value in zip(SMI_FIELDS, values)}


def host_facts():
    try:
        cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(),
                        re.MULTILINE).group(1)
    except (OSError, AttributeError):
        cpu = platform.processor()
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "glibc": platform.libc_ver()[1]}


def run_device(machine, flags):
    facts = gpu_facts(machine) if machine.on_gpu else {"name": host_facts()["cpu"]}
    model = machine.checkpoint("tiny-mamba1", "--d-model", 64, "--n-layer", 2)
    info = machine.run(machine.krait("info", "-m", model, "--json"))
    problems = [] if info.passed else [f"krait info: {info.why()}"]
    if machine.on_gpu:
        wrong = machine.run([machine.programs.krait, "generate", "-m", model, "-p", "x",
                             "--device", "cuda:99"])
        machine.log(f"  cuda:99: {wrong.err.strip()}")
        if wrong.code != 2:
            problems.append(f"--device cuda:99: {wrong.why()}; expected exit code 2")
    return {"status": status_of(problems), "problems": problems, **facts, "host": host_facts()}


# ---- micro ----------------------------------------------------------------------------------
def run_micro(machine, flags):
    if not machine.on_gpu or not machine.programs.micro_costs:
        raise NotHere("only for a GPU")
    done = machine.run([machine.programs.micro_costs, machine.gpu_index])
    if not done.passed:
        return {"status": "incomplete" if done.timed_out else "failed", "problems": [done.why()]}
    return {"status": "passed", "problems": [], **json.loads(done.out)}


def read_roof(report):
    """The best read bandwidth of the run, in GB/s, or nothing."""
    micro = report["stages"].get("micro", {})
    known = [micro.get(key) for key in ("read_plain_gb_s", "read_bulk_gb_s")]
    return max((x for x in known if x), default=None)


# ---- bench ----------------------------------------------------------------------------------
def bench_plan(shapes, dtypes):
    """(shape, dtype) in the order of their importance: all shapes in the first type first."""
    return [(shape, dtype) for dtype in dtypes for shape in shapes]


def shape_settings(shape):
    return TINY_SHAPES.get(shape) or ["--shape", shape]


def make_checkpoints(machine, shapes):
    """Begins to write the checkpoints of the benchmark; returns a function to wait for one."""
    begun = {}
    for shape in shapes:
        def make(shape=shape):
            try:
                machine.checkpoint("bench-" + shape, *shape_settings(shape), "--dtype", "bf16",
                                   limit=WRITING_S)
            except (RuntimeError, OSError) as error:
                machine.log(f"bench-{shape}: {error}")
        begun[shape] = threading.Thread(target=make, daemon=True)
        begun[shape].start()

    def wait(shape):
        begun[shape].join(max(0.0, min(machine.left(), WRITING_S)))
        folder = machine.scratch / ("bench-" + shape)
        return str(folder) if (folder / "made").exists() else None
    return wait


def read_bench(text):
    """The objects of `krait bench --json`, a line each; a last one that was cut off is left out."""
    results = []
    for line in text.splitlines():
        try:
            result = json.loads(line)
        except ValueError:
            continue
        if isinstance(result, dict) and result.get("tok_s"):
            results.append(result)
    return results


def bench_row(shape, result, state_bytes, roof_gb_s):
    """What is kept of a result. A step reads the weights once, and the state of every sequence is
    read and written: its traffic, and the share of the read bandwidth that it reaches."""
    row = {"model": shape, "dtype": result["dtype"], "n_prompt": result["n_prompt"],
           "n_gen": result["n_gen"], "batch": result["batch"],
           "tok_s": {key: float(f"{result['tok_s'][key]:.5g}") for key in ("median", "min", "max")}}
    if result["n_prompt"]:
        for ours, theirs in (("tflop_s", "gflop_s"), ("roof_tflop_s", "roof_gflop_s")):
            row[ours] = float(f"{(result.get(theirs) or 0) / 1e3:.4g}")
        return row
    roof_gb_s = roof_gb_s or result.get("roof_gb_s")  # where micro did not run: krait's own figure
    batch = result["batch"]
    traffic = result["weight_bytes_per_token"] + 2 * state_bytes * batch
    gb_s = result["tok_s"]["median"] / batch * traffic * 1e-9
    row |= {"weight_bytes": result["weight_bytes_per_token"], "state_bytes": state_bytes,
            "gb_s": float(f"{gb_s:.4g}"),
            "read_share": round(gb_s / roof_gb_s, 4) if roof_gb_s else None}
    return row


def state_bytes_of(machine, folder):
    done = machine.run([machine.programs.krait, "info", "-q", "--device", "cpu", "-m", folder,
                        "--json"])
    return json.loads(done.out)["state_bytes_per_sequence"] if done.passed else 0


def bench_one(machine, flags, folder, shape, dtype, roof):
    command = machine.krait("bench", "-m", folder, "--dtype", dtype, "--json",
                            "-p", flags.n_prompt, "-n", flags.n_gen, "-b", flags.batch,
                            "-r", flags.repetitions)
    state = state_bytes_of(machine, folder)
    done = machine.run(command)
    rows = [bench_row(shape, result, state, roof) for result in read_bench(done.out)]
    return rows, done


def run_bench(machine, flags, wait, roof):
    problems, rows, complete = [], [], True
    wanted = len(flags.n_prompt.split(",")) + len(flags.batch.split(","))
    seconds = {}
    for shape, dtype in bench_plan(flags.shapes, flags.dtypes):
        folder = wait(shape)
        if folder is None or machine.left() < 5:
            complete = False
            continue
        found, done = bench_one(machine, flags, folder, shape, dtype, roof)
        rows += found
        seconds[f"{shape} {dtype}"] = round(done.seconds, 1)
        if not done.passed and not done.timed_out:
            problems.append(f"{shape} {dtype}: {done.why()}")
        elif done.passed and len(found) != wanted:
            problems.append(f"{shape} {dtype}: {len(found)} results, expected {wanted}")
        complete &= not done.timed_out
    return {"status": status_of(problems, complete), "problems": problems, "read_gb_s": roof,
            "seconds_by_run": seconds, "results": rows}


# ---- peers ----------------------------------------------------------------------------------
def run_peers(machine, flags):
    python = shutil.which("python3") or sys.executable
    sizes = "tiny" if flags.shapes[0].startswith("tiny") else "130m,370m"
    device = f"cuda:{machine.gpu_index}" if machine.on_gpu else "cpu"
    done = machine.run([python, machine.programs.peers_script, "--device", device, "--sizes",
                        sizes], own=False)
    rows = []
    for line in done.out.splitlines():
        if line.startswith("{"):
            rows.append(json.loads(line))
    if done.code == 3:
        raise NotHere(done.err.strip().splitlines()[-1] if done.err.strip() else "no PyTorch")
    problems = [] if done.passed or done.timed_out else [done.why()]
    merged = {"versions": {}, "results": [row for row in rows if "model" in row]}
    for row in rows:
        merged |= {key: value for key, value in row.items() if "model" not in row}
    return {"status": status_of(problems, not done.timed_out), "problems": problems, **merged}
