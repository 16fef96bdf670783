#!/usr/bin/env python3
"""Trains the bundled model `tales`: a small Mamba-1 on public-domain books.

Reads every .txt file of --data, trains a byte-level BPE and a Mamba-1, and writes a Hugging
Face folder. Checkpoints go to --work; --resume continues from the last one and --export-only
writes the folder from it. The same seed, data and options give the same batches.

  train_bundled.py --data books/ --work /tmp/tales --out models/bundled/tales
"""
import argparse
import ctypes
import dataclasses
import math
import os
import pathlib
import platform
import time

# Before PyTorch loads OpenMP: threads that spin while they wait make a step several times
# slower as soon as anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from tokenizers import Tokenizer

from train import corpus, export, mamba1, mamba1_ops

EVAL_WINDOW = 1024
EVAL_BATCH = 16
CLIP_NORM = 1.0
BETAS = (0.9, 0.95)
FINAL_LR_SHARE = 0.05
PROMPT = "Once upon a time"
LOG_HEADER = "step,tokens,seconds,learning_rate,train_loss,held_out_loss,held_out_bits_per_byte"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", required=True, help="folder of .txt books")
    add("--work", required=True, type=pathlib.Path, help="folder for checkpoints and the log")
    add("--out", required=True, type=pathlib.Path, help="folder to write the model to")
    add("--name", default="tales", help="title of the model card")
    add("--note", default="", help="a sentence about this run for the model card")
    add("--resume", action="store_true", help="continue from the checkpoint in --work")
    add("--export-only", action="store_true", help="write --out from the checkpoint in --work, train nothing")
    add("--vocab-size", type=int, default=4096)
    add("--d-model", type=int, default=256)
    add("--n-layer", type=int, default=8)
    add("--steps", type=int, default=6000)
    add("--batch", type=int, default=16, help="parallel streams of text")
    add("--length", type=int, default=256, help="tokens per window")
    add("--learning-rate", type=float, default=3e-3)
    add("--warmup", type=int, default=200, help="steps of linear warm-up")
    add("--weight-decay", type=float, default=0.1)
    add("--reset-share", type=float, default=0.125, help="share of windows that start from an empty state")
    add("--seed", type=int, default=1)
    add("--eval-every", type=int, default=250, help="steps between held-out losses")
    add("--save-minutes", type=float, default=3.0, help="minutes between checkpoints")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, default=os.cpu_count())
    add("--kernels", choices=("auto", "plain", "compiled"), default="auto", help="CPU kernels or plain PyTorch")
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


def load_text(args):
    """The corpus and its tokenizer; the tokenizer is trained once and kept in --work."""
    books = corpus.read_corpus(args.data)
    path = args.work / "tokenizer.json"
    if args.resume or args.export_only:
        return books, Tokenizer.from_file(str(path))
    tokenizer = corpus.train_tokenizer(books.train, args.vocab_size)
    tokenizer.save(str(path))
    return books, tokenizer


def learning_rate(step, args):
    if step < args.warmup:
        return args.learning_rate * (step + 1) / args.warmup
    progress = min(1.0, (step - args.warmup) / max(1, args.steps - args.warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return args.learning_rate * (FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * cosine)


def make_optimizer(model, args):
    """Weight decay on matrices only: not on norms, biases or the recurrence's A_log and D."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        matrix = parameter.dim() >= 2 and not name.endswith("A_log") and "conv1d" not in name
        (decayed if matrix else plain).append(parameter)
    groups = [{"params": decayed, "weight_decay": args.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.learning_rate, betas=BETAS, fused=True)


class HeldOut:
    """Held-out text as one token sequence in which every token but the first is predicted."""

    def __init__(self, documents, tokenizer, device):
        self.tokens = torch.from_numpy(np.concatenate(corpus.encode_documents(tokenizer, documents)).astype(np.int64))
        self.bytes = sum(len(d.encode()) for d in documents)
        self.device = device

    def _mean_loss(self, model, batch, carry, autocast):
        count = len(self.tokens) - 1
        whole = count // (batch * EVAL_WINDOW) * batch * EVAL_WINDOW
        cuts = list(range(0, whole, batch * EVAL_WINDOW)) + list(range(whole, count, EVAL_WINDOW)) + [count]
        total, state = 0.0, None
        with torch.no_grad(), torch.autocast(self.device, torch.bfloat16, enabled=autocast):
            for begin, end in zip(cuts, cuts[1:]):
                rows = batch if end - begin == batch * EVAL_WINDOW else 1
                ids = self.tokens[begin:end].view(rows, -1).to(self.device)
                targets = self.tokens[begin + 1 : end + 1].view(rows, -1).to(self.device)
                if state is None or not carry:
                    state = model.initial_state(rows, self.device)
                loss, state = model.loss(ids, targets, state)
                total += loss.item() * (end - begin)
        return total / count

    def windows(self, model, autocast=True):
        """Mean loss over windows that each start from an empty state."""
        return self._mean_loss(model, EVAL_BATCH, False, autocast)

    def stream(self, model):
        """Mean loss when the text is read as one, in float32."""
        return self._mean_loss(model, 1, True, False)

    def bits_per_byte(self, loss):
        return loss * (len(self.tokens) - 1) / self.bytes / math.log(2)


@dataclasses.dataclass
class Progress:
    """What a checkpoint holds besides the tensors."""

    step: int = 0
    seconds: float = 0.0
    log: list = dataclasses.field(default_factory=lambda: [LOG_HEADER])


def save_checkpoint(path, model, optimizer, state, progress, args):
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "state": state,
        "progress": dataclasses.asdict(progress),
        "shape": dataclasses.asdict(model.shape),
        "arguments": {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(args).items()},
    }
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)  # never a half-written checkpoint


def reset_some(state, share, seed, step):
    """Empties the state of a few streams, so that the model also learns to begin."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    keep = (torch.rand(state[0][0].shape[0], generator=generator) >= share).float()[:, None, None]
    return [(conv * keep.to(conv), ssm * keep.to(ssm)) for conv, ssm in state]


def train_step(model, optimizer, window, state, args, step):
    ids, targets = (torch.from_numpy(np.ascontiguousarray(part)).to(args.device) for part in window)
    state = reset_some(state, args.reset_share, args.seed, step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, args)
    with torch.autocast(args.device, torch.bfloat16):
        loss, state = model.loss(ids, targets, state)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item(), state


def train(model, optimizer, streams, held_out, state, progress, args):
    checkpoint = args.work / "checkpoint.pt"
    losses, saved_at, tick = [], time.monotonic(), time.monotonic()
    while progress.step < args.steps:
        loss, state = train_step(model, optimizer, streams.window(progress.step), state, args, progress.step)
        losses.append(loss)
        progress.step += 1
        now = time.monotonic()
        progress.seconds, tick = progress.seconds + now - tick, now
        last = progress.step == args.steps
        if progress.step % args.eval_every == 0 or last:
            held = held_out.windows(model)
            line = (f"{progress.step},{progress.step * args.batch * args.length},{progress.seconds:.0f},"
                    f"{learning_rate(progress.step - 1, args):.2e},{np.mean(losses):.4f},{held:.4f},"
                    f"{held_out.bits_per_byte(held):.4f}")
            progress.log.append(line)
            losses = []
            print(line, flush=True)
        elif progress.step % 20 == 0:
            print(f"step {progress.step} loss {np.mean(losses[-20:]):.4f} {progress.seconds:.0f} s", flush=True)
        if last or time.monotonic() - saved_at > 60 * args.save_minutes:
            save_checkpoint(checkpoint, model, optimizer, state, progress, args)
            saved_at = time.monotonic()


def write_sample(model, tokenizer, device, seed, count=220, temperature=0.8):
    """Samples a continuation of PROMPT, token by token."""
    generator = torch.Generator().manual_seed(seed)
    ids = tokenizer.encode(PROMPT).ids
    state, pending = model.initial_state(1, device), ids
    with torch.no_grad():
        for _ in range(count):
            logits, state = model(torch.tensor([pending], device=device), state)
            probabilities = torch.softmax(logits[0, -1].float().cpu() / temperature, 0)
            pending = [torch.multinomial(probabilities, 1, generator=generator).item()]
            if pending[0] == corpus.END_OF_TEXT_ID:
                break
            ids = ids + pending
    return tokenizer.decode(ids)


def hardware(device):
    if device != "cpu":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
    return f"{os.cpu_count()} CPU cores ({name})"


def export_model(model, tokenizer, books, streams, held_out, progress, args):
    export.round_weights(model)
    loss, stream_loss = held_out.windows(model, autocast=False), held_out.stream(model)
    shape = model.shape
    facts = {
        "books": books.books,
        "parameters": sum(p.numel() for p in model.parameters()),
        "state_bytes": 4 * shape.n_layer * shape.d_inner * (shape.d_state + shape.d_conv - 1),
        "held_out_bytes": held_out.bytes,
        "held_out_tokens": len(held_out.tokens),
        "eval_window": EVAL_WINDOW,
        "loss": loss,
        "bits_per_byte": held_out.bits_per_byte(loss),
        "stream_loss": stream_loss,
        "stream_bits_per_byte": held_out.bits_per_byte(stream_loss),
        "log_every": args.eval_every,
        "train_loss": float(progress.log[-1].split(",")[4]) if len(progress.log) > 1 else math.nan,
        "train_bytes": sum(len(d.encode()) for d in books.train),
        "train_documents": len(books.train),
        "epoch_tokens": streams.tokens_per_epoch,
        "steps": progress.step,
        "batch": args.batch,
        "length": args.length,
        "tokens": progress.step * args.batch * args.length,
        "reset_share": args.reset_share,
        "weight_decay": args.weight_decay,
        "learning_rate": args.learning_rate,
        "warmup": args.warmup,
        "final_share": FINAL_LR_SHARE,
        "clip": CLIP_NORM,
        "seed": args.seed,
        "hardware": hardware(args.device),
        "minutes": progress.seconds / 60,
        "torch": torch.__version__.split("+")[0],
        "note": args.note,
        "prompt": PROMPT,
        "sample": write_sample(model, tokenizer, args.device, args.seed),
    }
    export.write_folder(args.out, args.name, model, tokenizer, facts, progress.log)
    print(f"{args.out}: held-out loss {loss:.4f}, {facts['bits_per_byte']:.4f} bits per byte; "
          f"as one stream {stream_loss:.4f}, {facts['stream_bits_per_byte']:.4f}\n\n{facts['sample']}")


def main():
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    books, tokenizer = load_text(args)
    streams = corpus.TokenStreams(corpus.encode_documents(tokenizer, books.train), args.batch, args.length, args.seed)
    held_out = HeldOut(books.held_out, tokenizer, args.device)
    saved = None
    if args.resume or args.export_only:
        saved = torch.load(args.work / "checkpoint.pt", map_location=args.device, weights_only=True)
    shape = mamba1.Shape(**saved["shape"]) if saved else mamba1.Shape(args.vocab_size, args.d_model, args.n_layer)
    model = mamba1.Mamba1(shape, mamba1_ops.Ops(args.kernels)).to(args.device)
    optimizer = make_optimizer(model, args)
    state, progress = model.initial_state(args.batch, args.device), Progress()
    if saved:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        state, progress = saved["state"], Progress(**saved["progress"])
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {streams.tokens_per_epoch:,} tokens per epoch, "
          f"{streams.steps_per_epoch} steps per epoch, starting at step {progress.step}", flush=True)
    if not args.export_only:
        train(model, optimizer, streams, held_out, state, progress, args)
    export_model(model, tokenizer, books, streams, held_out, progress, args)


if __name__ == "__main__":
    main()
