"""Stage parity: the device against the CPU, and against itself on other ways to feed it."""

import array
import ast
import json
import struct
from pathlib import Path

from gpu.running import status_of

ARCHITECTURES = {
    "mamba1": ["--d-model", 256, "--n-layer", 4, "--vocab-rows", 1021],
    "falcon_mamba": ["--architecture", "falcon_mamba", "--d-model", 256, "--n-layer", 4,
                     "--vocab-rows", 512, "--untied"],
    "mamba2": ["--architecture", "mamba2", "--d-model", 256, "--n-layer", 4, "--d-state", 64,
               "--n-groups", 2, "--vocab-rows", 512],
}
PLAIN = {"f32": 1e-4, "bf16": 2e-3, "f16": 2e-3}  # the most that logits may differ
QUANTISED = {"q8_0": 2e-3, "q4_0": 2e-3, "q4_k": 2e-3}
CHUNKS = [1, 7, 2048]
TOKENS = 300
PROMPTS = 64


def test_ids(count, vocabulary):
    ids, state = [], 1
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        ids.append((state >> 8) % vocabulary)
    return ids


def read_npy(path):
    """The float32 numbers of a NumPy file, in its order."""
    data = Path(path).read_bytes()
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise ValueError(f"{path}: not a NumPy file")
    wide = data[6] > 1
    size = struct.unpack_from("<I" if wide else "<H", data, 8)[0]
    begin = (12 if wide else 10) + size
    header = ast.literal_eval(data[begin - size:begin].decode("latin-1"))
    if header["descr"] != "<f4" or header["fortran_order"]:
        raise ValueError(f"{path}: expected float32 row by row, found {header}")
    numbers = array.array("f")
    numbers.frombytes(data[begin:])
    count = 1
    for extent in header["shape"]:
        count *= extent
    if len(numbers) != count:
        raise ValueError(f"{path}: {len(numbers)} numbers, its shape says {count}")
    return numbers


def difference(ours, theirs):
    """The largest difference, relative to the largest of theirs; infinite for what is no number."""
    if len(ours) != len(theirs) or not theirs:
        return float("inf")
    largest = max(map(abs, theirs))
    worst = max(abs(a - b) for a, b in zip(ours, theirs))
    finite = all(x == x and abs(x) != float("inf") for x in ours)
    return worst / largest if finite and largest > 0 else float("inf")


class Parity:
    def __init__(self, machine):
        self.machine = machine
        self.problems = []
        self.jobs = []  # (name, command, file)

    def score(self, name, device, model, *flags):
        file = str(self.machine.scratch / f"{name}.npy")
        command = [self.machine.programs.krait, "score", "-q", "--device", device, "-m", model,
                   "--ids", ",".join(map(str, test_ids(TOKENS, 500))), "--logits", file,
                   "-t", "2", *map(str, flags)]
        self.jobs.append((name, command, file))

    def add_jobs(self, architecture, folder, quantised):
        device = self.machine.device
        cases = [(t, folder, ["--dtype", t], ["--dtype", t]) for t in PLAIN]
        # The CPU rounds activations where weights are quantised, the GPU does not: it is held to
        # the same weights in float32, and what the CPU's own way costs is measured beside it.
        cases += [(t, quantised[t], [], ["--dtype", "f32"]) for t in QUANTISED if t in quantised]
        for dtype, model, ours, theirs in cases:
            name = f"{architecture}-{dtype}"
            self.score(f"{name}-cpu", "cpu", model, *theirs)
            if dtype in QUANTISED:
                self.score(f"{name}-cpu-own", "cpu", model)
            self.score(f"{name}-device", device, model, *ours)
            for chunk in CHUNKS:
                self.score(f"{name}-chunk{chunk}", device, model, *ours, "--chunk", chunk)

    def run_jobs(self):
        """{name: its logits}"""
        found = {}
        results = self.machine.run_all([command for _, command, _ in self.jobs])
        for (name, _, file), done in zip(self.jobs, results):
            if done.passed:
                found[name] = read_npy(file)
                Path(file).unlink()
            elif not done.timed_out:
                self.problems.append(f"{name}: {done.why()}")
        return found

    def compare(self, logits):
        """Rows for those that both sides have computed."""
        rows = []
        for architecture in ARCHITECTURES:
            for dtype, tolerance in (PLAIN | QUANTISED).items():
                name = f"{architecture}-{dtype}"
                ours, theirs = logits.get(f"{name}-device"), logits.get(f"{name}-cpu")
                if ours is None or theirs is None:
                    continue
                error = difference(ours, theirs)
                row = {"model": architecture, "dtype": dtype, "error": round_error(error),
                       "tolerance": tolerance}
                rounds = not self.machine.on_gpu and dtype in QUANTISED  # a rehearsal on the CPU
                if not error <= (0.1 if rounds else tolerance):
                    self.problems.append(f"{name}: differs by {error:.2e} of the largest logit, "
                                         f"expected at most {tolerance:.0e}")
                own = logits.get(f"{name}-cpu-own")
                if own is not None:
                    row["cpu_error"] = round_error(difference(own, theirs))
                row["same_bits"] = self.same_bits(name, ours, logits)
                rows.append(row)
        return rows

    def same_bits(self, name, ours, logits):
        """{chunk: whether the logits are those of one prefill}"""
        same = {}
        for chunk in CHUNKS:
            other = logits.get(f"{name}-chunk{chunk}")
            if other is not None:
                same[str(chunk)] = other.tobytes() == ours.tobytes()
                if not same[str(chunk)]:
                    self.problems.append(f"{name}: --chunk {chunk} gives other bits: differs by "
                                         f"{difference(other, ours):.2e} of the largest logit")
        return same


def round_error(error):
    return float(f"{error:.3g}") if error < float("inf") else None


def texts_of(path):
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [line["response"]["body"]["choices"][0]["text"] for line in sorted(
        lines, key=lambda line: int(line["id"].split("-")[1]))]


def batches(machine, architecture, folder, problems):
    """The same prompts with one slot and with many: how many texts are the same."""
    prompts = machine.scratch / "prompts.txt"
    prompts.write_text("".join(f"prompt {'of some words ' * (i % 9)}{i}\n" for i in range(PROMPTS)))
    outputs = {slots: machine.scratch / f"{architecture}-slots{slots}.jsonl"
               for slots in (1, PROMPTS)}
    commands = [machine.krait("batch", "-m", folder, "--dtype", "bf16", "-i", prompts, "-o", output,
                              "--slots", slots, "-n", 32, "-s", 7, "--temp", 0.8, "--ignore-eos")
                for slots, output in outputs.items()]
    done = machine.run_all(commands)
    for result in done:
        if not result.passed:
            problems.append(f"{architecture}, batch: {result.why()}")
            return None
    one, many = (texts_of(output) for output in outputs.values())
    same = sum(a == b for a, b in zip(one, many))
    if same != PROMPTS or len(one) != PROMPTS:
        problems.append(f"{architecture}, batch: {same} of {PROMPTS} texts are the same with 1 and "
                        f"{PROMPTS} slots")
    return {"model": architecture, "prompts": PROMPTS, "same": same}


def quantise(machine, architecture, folder):
    files = {t: str(machine.scratch / f"{architecture}-{t}.gguf") for t in QUANTISED}
    done = machine.run_all([[machine.programs.krait, "quantize", "-q", folder, file, "--type", t]
                            for t, file in files.items()])
    return files, [f"{architecture}: quantize: {d.why()}" for d in done if not d.passed]


def run(machine, flags):
    parity = Parity(machine)
    folders = {}
    for architecture, settings in ARCHITECTURES.items():
        folder = machine.checkpoint(f"parity-{architecture}", *settings)
        files, problems = quantise(machine, architecture, folder)
        parity.problems += problems
        parity.add_jobs(architecture, folder, {} if problems else files)
        folders[architecture] = folder
    rows = parity.compare(parity.run_jobs())
    texts = [batches(machine, architecture, folder, parity.problems)
             for architecture, folder in folders.items()]
    wanted = len(ARCHITECTURES) * len(PLAIN | QUANTISED)
    return {"status": status_of(parity.problems, len(rows) == wanted),
            "problems": parity.problems[:20], "logits": rows, "batch": [t for t in texts if t]}
