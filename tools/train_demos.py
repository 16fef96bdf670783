#!/usr/bin/env python3
"""Trains the bundled recall models: `induction` and `copying` (Mamba-1) and their
time-invariant twins `induction-lti` and `copying-lti` (S4D).

All models train beside each other on one device, within --minutes, evaluation included. What
is kept is on disk at any time: a folder per model under --work, with checkpoint, and all
of them in one archive, --out.

  train_demos.py --minutes 4 --work /tmp/demos --out demos.tar
  train_demos.py --evaluate --work /tmp/demos --count 100 --max-length 1048576
"""
import argparse
import json
import os
import pathlib
import sys
import tarfile
import time
import traceback

BEGUN = time.monotonic()  # loading PyTorch counts
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from train import device_ops, recall_eval, recall_export, recall_tasks, recall_trainer
from train.mamba1 import Shape
from train.recall_trainer import Job, Trainer

EVALUATION_SHARE = 0.2  # of the time, at most
EVALUATION_SECONDS = 40  # at most
MIDDLE_LENGTH = 1 << 16
EVALUATION_SEED = 20_000
KEEP_SECONDS = 25  # between archives
BURST = 20  # steps submitted at once on a GPU


# Lengths of the curriculum, how many of the last ones stay, accuracy at which the next joins,
# share of the time.
CURRICULA = {
    "induction": ((16, 64, 256, 1024, 4096), 3, 0.98, 0.5),
    "copying": ((32, 48, 64, 96, 128, 256, 512, 1024), 3, 0.9, 1.0),
}
MODELS = ("induction", "copying", "induction-lti", "copying-lti")


def make_job(spec, args):
    """NAME, or NAME+key=value for a variant: d_state, longest (length in training),
    learning_rate, dilated, weight_decay. A twin gets the very same data and schedule as its model."""
    name, *changes = spec.split("+")
    if name not in MODELS:
        sys.exit(f"--models: no model {name!r}; there are {', '.join(MODELS)}")
    changes = dict(c.split("=") for c in changes)
    base = name.removesuffix("-lti")
    task, (lengths, mixed, solved, share) = recall_tasks.TASKS[base], CURRICULA[base]
    longest = int(changes.pop("longest", lengths[-1]))
    lengths = tuple(n for n in lengths if n <= longest)
    shape = Shape(task.vocab_size, 64, 2, d_state=int(changes.pop("d_state", 16)))
    options = {"learning_rate": 3e-3, "dilated": 0.5} | {k: float(v) for k, v in changes.items()}
    if torch.device(args.device).type != "cuda":
        options |= {"probes": (256, 1024), "probe_count": 16}
    kind = "s4d" if name.endswith("-lti") else "mamba"
    return Job(spec, base, kind, task, shape, lengths, mixed, args.tokens, solved=solved, share=share, **options)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--work", required=True, type=pathlib.Path, help="folder of the models and checkpoints")
    add("--out", type=pathlib.Path, help="archive (.tar) to keep up to date")
    add("--minutes", type=float, default=4.0, help="time for everything")
    add("--steps", type=int, help="steps per model; makes the schedule independent of the speed")
    add("--models", default=",".join(MODELS), help="comma-separated; copying+d_state=32 is a variant")
    add("--tokens", type=int, default=16384, help="tokens per step")
    add("--count", type=int, default=100, help="sequences per length in the evaluation")
    add("--max-length", type=int, default=1 << 20, help="longest sequence of the evaluation")
    add("--seed", type=int, default=1)
    add("--resume", action="store_true", help="continue from the checkpoints in --work")
    add("--evaluate", action="store_true", help="only evaluate the models in --work")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, default=min(8, os.cpu_count()))
    return parser.parse_args()


def facts_of(trainer, args, accuracy, count):
    return {
        "accuracy": {str(n): a for n, a in accuracy.items()}, "count": count, "chance": trainer.job.task.chance,
        "parameters": recall_export.parameters(trainer.model), "steps": trainer.step,
        "tokens_per_step": trainer.job.tokens, "joined": {str(n): s for n, s in trainer.joined.items()},
        "solved": trainer.job.solved, "betas": recall_trainer.BETAS, "clip": recall_trainer.CLIP_NORM,
        "decay_from": recall_trainer.DECAY_FROM, "seed": args.seed, "minutes": trainer.wall / 60,
        "hardware": recall_export.hardware(args.device), "torch": torch.__version__.split("+")[0],
    }


class Keeper:
    """Keeps the best state of every model on disk, and all of them in the archive."""

    def __init__(self, args):
        self.args, self.best, self.kept_at = args, {}, {}

    def keep(self, trainer):
        """Exports the model unless an earlier one answered better; the checkpoint is always the
        latest state."""
        name, folder = trainer.job.name, self.args.work / trainer.job.name
        accuracy = trainer.probe()
        score = sum(accuracy.values())
        shown = " ".join(f"{n}: {a:.1%}" for n, a in accuracy.items())
        print(f"[{trainer.wall:5.0f} s] {name}: step {trainer.step}, {trainer.log[-1]}; {shown}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._save(folder / "checkpoint.pt", trainer.content())
        if score >= self.best.get(name, -1.0):
            self.best[name] = score
            recall_export.write_folder(folder, trainer.job, trainer.model, trainer.log,
                                       facts_of(trainer, self.args, accuracy, trainer.job.probe_count))
        self.kept_at[name] = time.monotonic()

    @staticmethod
    def _save(path, content):
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(path)  # never a half-written checkpoint

    def archive(self):
        if self.args.out is None:
            return
        self.args.out.parent.mkdir(parents=True, exist_ok=True)
        partial = self.args.out.with_suffix(".partial")
        with tarfile.open(partial, "w") as tar:
            for folder in sorted(p for p in self.args.work.iterdir() if p.is_dir()):
                tar.add(folder, arcname=folder.name)
        partial.replace(self.args.out)

    def due(self, name):
        return time.monotonic() - self.kept_at.setdefault(name, time.monotonic()) > KEEP_SECONDS


def guarded(trainer, action):
    """What `action` returns; where it fails, this trainer stops and the others go on."""
    try:
        return action(trainer)
    except Exception as problem:
        traceback.print_exc()
        trainer.failed = repr(problem)


class Run:
    """The trainers side by side until time or steps are over."""

    def __init__(self, trainers, args, keeper):
        self.trainers, self.args, self.keeper = trainers, args, keeper
        self.begun = time.monotonic()
        reserve = min(EVALUATION_SECONDS, EVALUATION_SHARE * 60 * args.minutes)
        self.train_seconds = max(1.0, BEGUN + 60 * args.minutes - reserve - self.begun)
        self.events = {t.job.name: [] for t in trainers}

    def progress(self, trainer):
        trainer.wall = time.monotonic() - BEGUN
        if self.args.steps:
            return trainer.step / self.args.steps
        return (time.monotonic() - self.begun) / (self.train_seconds * trainer.job.share)

    def _over(self):
        return time.monotonic() - self.begun > self.train_seconds

    def _busy(self, trainer):
        """Two bursts may wait on a stream, so that it never runs dry."""
        events = self.events[trainer.job.name]
        while events and events[0].query():
            events.pop(0)
        return len(events) >= 2

    def _advance(self, trainer):
        """Whether anything was submitted."""
        if trainer.cuda and self._busy(trainer):
            return False
        count = BURST if trainer.cuda else 1
        if self.args.steps:
            count = min(count, self.args.steps - trainer.step)
        trainer.advance(count, self.progress(trainer))
        if trainer.cuda:
            event = torch.cuda.Event()
            event.record(trainer.stream)
            self.events[trainer.job.name].append(event)
        if self.keeper.due(trainer.job.name):
            self.keeper.keep(trainer)
            self.keeper.archive()
        return True

    def train(self):
        going = list(self.trainers)
        while going:
            for trainer in [t for t in going if t.failed is not None or self.progress(t) >= 1 or self._over()]:
                going.remove(trainer)
                if trainer.failed is None:
                    guarded(trainer, self.keeper.keep)
            if not any([guarded(trainer, self._advance) for trainer in going]):
                time.sleep(2e-4)
        self.keeper.archive()


def restore(trainer, work):
    path = work / trainer.job.name / "checkpoint.pt"
    if path.exists():
        trainer.restore(torch.load(path, map_location=trainer.device, weights_only=True))
        print(f"{trainer.job.name}: continues at step {trainer.step}", flush=True)


def evaluate(trainers, args, deadline):
    """Measures the kept models and writes their folders again: all of them up to MIDDLE_LENGTH,
    then the selective ones as far as --max-length and the deadline allow."""
    lengths = [1 << k for k in range(8, 64) if 1 << k <= args.max_length]
    for wanted in ([n for n in lengths if n <= MIDDLE_LENGTH], [n for n in lengths if n > MIDDLE_LENGTH]):
        for trainer in trainers:
            if wanted and (trainer.job.kind == "mamba" or wanted[0] <= MIDDLE_LENGTH):
                guarded(trainer, lambda t: evaluate_one(t, wanted, args, deadline))


def evaluate_one(trainer, lengths, args, deadline):
    folder, name = args.work / trainer.job.name, trainer.job.name
    path = folder / "evaluation.json"
    if not path.exists():
        return
    facts = json.loads(path.read_text(encoding="utf-8"))
    log = (folder / "training_log.csv").read_text(encoding="utf-8").splitlines()
    recall_export.read_weights(folder, trainer.model)
    results = recall_eval.by_length(trainer.model, trainer.job.task, lengths, args.count, EVALUATION_SEED, args.device,
                                    deadline, lambda text: print(f"{name}: {text}", flush=True))
    known = facts["accuracy"] if lengths[0] > MIDDLE_LENGTH else {}
    facts |= {"accuracy": known | {str(n): a for n, a in results.items()}, "count": args.count}
    recall_export.write_folder(folder, trainer.job, trainer.model, log, facts)


def main():
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    chosen = [make_job(spec, args) for spec in args.models.split(",")]
    ops = device_ops.choose(args.device, {job.shape.d_state for job in chosen if job.kind == "mamba"})
    trainers = [Trainer(job, ops, args.device, args.seed) for job in chosen]
    if args.resume:
        for trainer in trainers:
            restore(trainer, args.work)
    keeper = Keeper(args)
    deadline = None
    if not args.evaluate:
        Run(trainers, args, keeper).train()
        deadline = BEGUN + 60 * args.minutes
    evaluate(trainers, args, deadline)
    keeper.archive()
    for trainer in trainers:
        if trainer.failed:
            print(f"{trainer.job.name}: failed: {trainer.failed}")


if __name__ == "__main__":
    main()
