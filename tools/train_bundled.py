#!/usr/bin/env python3
"""Trains a bundled model, `tales` (Mamba-1) or `tales-2` (Mamba-2): a small language model that
writes in the manner of old tales, converses, and remembers what it is told.

First the data, once; then a model of the books' text; then, from that model, conversations:

  train/prepare.py --data books/ --out build/data
  train_bundled.py --data build/data --work build/text --out build/text-model --text-share 1 --steps 6000
  train_bundled.py --data build/data --work build/chat --out models/bundled/tales --init build/text-model --minutes 60

A model that already predicts text learns to recall facts within minutes; one that starts with
conversations hardly does. These grow harder whenever most answers are right (batches.LEVELS).
With short ones facts are learned to be kept for long by dilation (train/dilation.py): the tokens of
tales and talk count as repeated. --out always holds the last export. --resume goes on from the checkpoint in --work.
"""
import argparse
import collections
import ctypes
import dataclasses
import json
import math
import os
import pathlib
import time

# Before PyTorch loads OpenMP: threads that spin while they wait make a step several times
# slower as soon as anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the loading processes are enough

import torch

from train import batches, conversations, dilation, export, mamba1, mamba1_ops, mamba2, recall
from train.curriculum import Curriculum, answers_right
from train.held_out import held_out_loss

CLIP_NORM = 1.0
BETAS = (0.9, 0.98)
DECLINE_SHARE = 0.3
EMBEDDING_LR_SHARE = 0.2
FINAL_LR_SHARE = 0.02
LOG_HEADER = "step,tokens,seconds,learning_rate,level,text_loss,conversation_loss,answers_right"
LOG_STEPS = 100
MAX_STEPS = 1_000_000
FINISH_SHARE = 0.06  # of --minutes: for the last evaluation and export


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", required=True, help="folder written by train/prepare.py")
    add("--work", required=True, type=pathlib.Path, help="folder for checkpoints and the log")
    add("--out", required=True, type=pathlib.Path, help="folder to write the model to")
    add("--pack", type=pathlib.Path, help="also write the folder as this .tar")
    add("--kind", choices=("mamba1", "mamba2"), default="mamba1")
    add("--init", type=pathlib.Path, help="folder of a model to start from")
    add("--resume", action="store_true", help="continue from the checkpoint in --work")
    add("--steps", type=int, default=6000)
    add("--minutes", type=float, help="instead of --steps: all time there is, from start to last export")
    add("--d-model", type=int, default=256)
    add("--n-layer", type=int, default=8)
    add("--d-state", type=int, help="default: 16, for mamba2 64")
    add("--batch-tokens", type=int, default=512)
    add("--window", type=int, default=256, help="tokens of a window of text")
    add("--text-share", type=float, default=0.25, help="share of text in the tokens of a batch; 1: nothing else")
    add("--dilated", type=float, default=0.7, help="share of the conversations where turns that do not matter count as longer")
    add("--dilated-tokens", type=int, default=32768, help="tokens that a conversation may then stand for")
    add("--solved", type=float, default=0.6, help="share of right answers at which the next level begins")
    add("--learning-rate", type=float, default=1e-3)
    add("--warmup", type=int, default=50, help="steps of linear warm-up")
    add("--weight-decay", type=float, default=0.02)
    add("--dropout", type=float, default=0.0, help="of what a block adds")
    add("--seed", type=int, default=1)
    add("--save-minutes", type=float, default=5.0, help="between checkpoints, each with an export")
    add("--eval-tokens", type=int, default=10000, help="distraction of the recall test")
    add("--workers", type=int, default=2, help="processes that make batches")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, default=os.cpu_count())
    add("--kernels", choices=("auto", "plain", "compiled"), default="auto")
    add("--compile", action="store_true", help="mamba2: compile the products within chunks")
    return parser.parse_args()


def keep_freed_memory():
    """Stops glibc from returning every large activation to the kernel; page faults would
    otherwise cost a third of a step."""
    m_trim_threshold, m_mmap_max = -1, -4
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, -1)
    except (OSError, AttributeError):
        pass  # another C library: slower, not wrong


def make_model(args, vocab_size):
    ops = dilation.DilatedOps(mamba1_ops.Ops(args.kernels, args.device))
    sizes = {"d_state": args.d_state} if args.d_state else {}
    if args.kind == "mamba1":
        return mamba1.Mamba1(mamba1.Shape(vocab_size, args.d_model, args.n_layer, **sizes), ops, args.dropout)
    if args.compile:
        mamba2.Mamba2Mixer.within = staticmethod(torch.compile(mamba2.within_chunks, dynamic=False))
    return mamba2.Mamba2(mamba2.Shape(vocab_size, args.d_model, args.n_layer, **sizes), ops, args.dropout)


def make_optimizer(model, args):
    """Weight decay on matrices only: not on norms, biases or the recurrence's A_log and D. The
    embeddings of a model that starts from another change slowly: Adam makes large steps of the small
    gradients that conversations have for words they do not use, and text would be forgotten."""
    embeddings, decayed, plain = [], [], []
    for name, parameter in model.named_parameters():
        matrix = parameter.dim() >= 2 and not name.endswith("A_log") and "conv1d" not in name
        (embeddings if "embeddings" in name else decayed if matrix else plain).append(parameter)
    groups = [{"params": embeddings, "weight_decay": args.weight_decay, "share": EMBEDDING_LR_SHARE if args.init else 1},
              {"params": decayed, "weight_decay": args.weight_decay, "share": 1},
              {"params": plain, "weight_decay": 0.0, "share": 1}]
    return torch.optim.AdamW(groups, lr=args.learning_rate, betas=BETAS, fused=True)


def learning_rate(step, progress, args):
    """Linear warm-up, then constant, and a linear decline over the last part of the training."""
    decline = min(1.0, max(0.0, 1 - progress) / DECLINE_SHARE)
    return args.learning_rate * min(1.0, (step + 1) / args.warmup) * max(FINAL_LR_SHARE, decline)


class Clock:
    """How far training has come: in steps, or in the time it was given."""

    def __init__(self, args, started):
        self.args, self.started, self.before = args, started, 0.0

    def seconds(self):
        return self.before + time.monotonic() - self.started

    def progress(self, step):
        if self.args.minutes:
            return self.seconds() / (60 * self.args.minutes * (1 - FINISH_SHARE))
        return step / self.args.steps


@dataclasses.dataclass
class Progress:
    """What a checkpoint holds besides the tensors."""

    step: int = 0
    tokens: int = 0
    level: int = 0
    seconds: float = 0.0
    log: list = dataclasses.field(default_factory=lambda: [LOG_HEADER])


class Trainer:
    def __init__(self, args, data, model, clock, level):
        self.args, self.data, self.model, self.clock = args, data, model, clock
        self.optimizer = make_optimizer(model, args)
        self.progress = Progress()
        self.losses = collections.defaultdict(list)  # since the last line of the log, on the device
        self.curriculum = Curriculum(level, len(batches.LEVELS), args.solved)
        self.generator = torch.Generator(args.device).manual_seed(args.seed)
        if args.resume:
            self.restore()

    def text_loss(self, rows):
        ids, targets = rows[:, :-1], rows[:, 1:]
        return self.model.loss(ids, targets, torch.full(targets.shape, 1 / targets.numel(), device=rows.device))[0]

    def conversation_loss(self, rows, weights, matters, level):
        """Where turns that do not matter count as longer than they are, nothing is learned from their own tokens."""
        factors = dilation.factors(matters, self.args.dilated, self.args.dilated_tokens, self.generator)
        weights = torch.where(~matters & (factors.amax(1, keepdim=True) > 1), 0.0, weights)
        with self.model.ops.dilated(None if matters.all() else factors):
            loss, right = self.model.loss(rows[:, :-1], rows[:, 1:], weights / weights.sum())
        self.curriculum.count(level, *answers_right(right, weights >= conversations.ANSWER_WEIGHT))
        return loss

    def step(self, batch, progress):
        text, *chat = (t.to(self.args.device, non_blocking=True) if torch.is_tensor(t) else t for t in batch)
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * learning_rate(self.progress.step, progress, self.args)
        for name, loss, rows in (("text", self.text_loss, (text,)), ("conversations", self.conversation_loss, chat)):
            if rows[0].numel():
                with torch.autocast(self.args.device, torch.bfloat16):
                    value = loss(*rows)
                value.backward()
                self.losses[name].append(value.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        # A step whose gradient is not a number is left out, without waiting for the device to tell.
        self.optimizer.found_inf = (~torch.isfinite(norm)).float()
        self.optimizer.grad_scale = None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += text.numel() + chat[0].numel()

    def log(self, progress):
        """Waits for the device, so that it is never far behind the clock."""
        p = self.progress
        p.seconds, p.level = self.clock.seconds(), self.curriculum.level.value
        text, chat = (torch.stack(self.losses[k]).mean().item() if self.losses[k] else math.nan
                      for k in ("text", "conversations"))
        self.losses.clear()
        p.log.append(f"{p.step},{p.tokens},{p.seconds:.0f},{learning_rate(p.step, progress, self.args):.2e},"
                     f"{p.level},{text:.4f},{chat:.4f},{self.curriculum.share():.3f}")
        print(p.log[-1], flush=True)

    def evaluate(self):
        """On the weights as the file has them."""
        export.round_weights(self.model)
        self.model.eval()
        with torch.autocast(self.args.device, torch.bfloat16, enabled=self.args.device != "cpu"):
            loss, bits = held_out_loss(self.model, self.data, self.args.device)
            share, kinds = recall.evaluate(self.model, self.data, self.args.device, tokens=self.args.eval_tokens)
        return {"held_out_loss": loss, "held_out_bits_per_byte": bits,
                "recall": {"distraction_tokens": self.args.eval_tokens, "share": share, "kinds": kinds}}

    def write(self, report):
        export.write_folder(self.args.out, self.model, self.data.tokenizer, self.progress.log, report)
        if self.args.pack:
            export.pack(self.args.out, self.args.pack)

    def save(self):
        self.progress.level = self.curriculum.level.value
        content = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                   "progress": dataclasses.asdict(self.progress)}
        path = self.args.work / "checkpoint.pt"
        torch.save(content, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)  # never a half-written checkpoint

    def restore(self):
        saved = torch.load(self.args.work / "checkpoint.pt", map_location=self.args.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.progress = Progress(**saved["progress"])
        self.clock.before = self.progress.seconds
        self.curriculum.level.value = self.progress.level

    def report(self):
        p, args = self.progress, self.args
        facts = dict(self.data.facts, parameters=sum(x.numel() for x in self.model.parameters()), steps=p.step,
                     tokens=p.tokens, minutes=p.seconds / 60, torch=torch.__version__,
                     hardware=torch.cuda.get_device_name() if args.device != "cpu" else f"{os.cpu_count()} CPU cores")
        facts["arguments"] = {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(args).items()}
        return facts

    def run(self, stream):
        saved = time.monotonic()
        for batch in stream:
            progress = self.clock.progress(self.progress.step)
            if progress >= 1.0:
                break
            self.step(batch, progress)
            if self.progress.step % LOG_STEPS == 0:
                self.log(progress)
            if time.monotonic() - saved > 60 * self.args.save_minutes:
                self.save()
                self.write(self.report())
                saved = time.monotonic()
        self.progress.seconds = self.clock.seconds()
        self.save()
        self.write(self.report())
        measured = self.evaluate()
        print(json.dumps(measured), flush=True)
        self.write(dict(self.report(), **measured))


def main():
    started = time.monotonic()
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = batches.Data(args.data)
    count = MAX_STEPS if args.minutes else args.steps
    clock = Clock(args, started)
    dataset = batches.Batches(data, args.batch_tokens, args.window, args.text_share, args.seed, count)

    first = torch.load(args.work / "checkpoint.pt", weights_only=True)["progress"]["step"] if args.resume else 0
    stream = batches.loader(dataset, first, args.workers, pin=args.device != "cpu")
    model = make_model(args, data.tokenizer.get_vocab_size()).to(args.device)
    if args.init:
        export.load_weights(model, args.init)
    trainer = Trainer(args, data, model, clock, dataset.level)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {data.facts['train_tokens']:,} tokens of text, "
          f"step {trainer.progress.step}, ready after {clock.seconds():.0f} s", flush=True)
    trainer.run(stream)
    print(f"done: {trainer.progress.step} steps, {clock.seconds():.0f} s", flush=True)


if __name__ == "__main__":
    main()
