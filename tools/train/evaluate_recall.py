#!/usr/bin/env python3
"""How well an exported model predicts held-out text, what it remembers, and how much it copies.

  evaluate_recall.py models/bundled/tales --data build/train-data

Recall: 200 held-out facts after 40 turns of tales and after 10,000 tokens of them, read
recurrently: in pieces, with the state carried. Copying: the longest spans of tokens that sampled
tales share with the training text. The last line is all of it as JSON, for model_card.py.
"""
import argparse
import itertools
import json
import os
import pathlib
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import batches, corpus, export, mamba1, mamba1_ops, mamba2, recall
from train.held_out import held_out_loss

PROMPTS = ("Once upon a time", "There was once a", "One day", "The king", "Long ago")


def load_model(folder, kernels, device):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    sizes = {"vocab_size": config["vocab_size"], "d_model": config["hidden_size"],
             "n_layer": config["num_hidden_layers"], "d_state": config["state_size"]}
    ops = mamba1_ops.Ops(kernels, device)
    if config["model_type"] == "mamba":
        model = mamba1.Mamba1(mamba1.Shape(**sizes), ops)
    else:
        model = mamba2.Mamba2(mamba2.Shape(head_dim=config["head_dim"], **sizes), ops)
    export.load_weights(model, folder)
    return model.to(device).eval()


def sample(model, prompts, count, seed, ends, device, temperature=0.8):
    """Continuations of prompts of equal length (rows, tokens), as lists of ids."""
    generator = torch.Generator().manual_seed(seed)
    state, pending = model.initial_state(len(prompts), device), torch.tensor(prompts, device=device)
    rows, ended = [[] for _ in prompts], [False] * len(prompts)
    with torch.no_grad():
        for _ in range(count):
            hidden, state = model.hidden(pending, state)
            logits = model.head(hidden[:, -1]).float().cpu()
            chosen = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator)
            for row, token in enumerate(chosen[:, 0].tolist()):
                ended[row] |= token in ends
                if not ended[row]:
                    rows[row].append(token)
            pending = chosen.to(device)
    return rows


def n_grams(tokens, n):
    """A number for each run of n tokens; equal runs have equal numbers (mod 2^64)."""
    tokens = np.asarray(tokens, np.uint64) + np.uint64(1)
    total = np.zeros(max(0, len(tokens) - n + 1), np.uint64)
    for i in range(n):
        total = total * np.uint64(0x9E3779B97F4A7C15) + tokens[i : i + len(total)]
    return total


def longest_common_spans(samples, train):
    """For every sample the longest run of its tokens that the training text has."""
    best, at = [0] * len(samples), [0] * len(samples)
    open_rows, n = set(range(len(samples))), 1
    while open_rows:
        known = np.sort(n_grams(train, n))
        for row in sorted(open_rows):
            mine = n_grams(samples[row], n)
            where = np.searchsorted(known, mine).clip(max=len(known) - 1)
            found = np.flatnonzero(known[where] == mine) if len(mine) else mine
            if len(found) == 0:
                open_rows.discard(row)
            else:
                best[row], at[row] = n, int(found[0])
        n += 1
    return best, at


def report_copying(model, data, args):
    samples = []
    for seed, prompt in enumerate(PROMPTS):
        ids = data.tokenizer.encode(prompt).ids
        samples += [ids + row for row in sample(model, [ids] * args.samples, 300, seed, corpus.end_ids(data.tokenizer), args.device)]
    lengths, at = longest_common_spans(samples, data.train)
    order = np.argsort(lengths)[::-1]
    print(f"longest spans shared with the training text, of {len(samples)} samples of up to 300 tokens: "
          f"median {int(np.median(lengths))}, longest {max(lengths)} tokens")
    for row in order[:5]:
        span = data.tokenizer.decode(samples[row][at[row] : at[row] + lengths[row]])
        print(f"  {lengths[row]} tokens: {span!r}")
    print(f"\n{data.tokenizer.decode(samples[0])}\n")
    return {"samples": len(samples), "median_tokens": int(np.median(lengths)), "longest_tokens": int(max(lengths))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--data", required=True, help="folder written by prepare.py")
    parser.add_argument("--count", type=int, default=200, help="facts of each recall test")
    parser.add_argument("--facts", type=int, nargs="*", default=[1, 5], help="told in a conversation")
    parser.add_argument("--turns", type=int, nargs="*", default=[40])
    parser.add_argument("--tokens", type=int, nargs="*", default=[10000])
    parser.add_argument("--samples", type=int, default=8, help="of each prompt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--kernels", choices=("auto", "plain", "compiled"), default="auto")
    args = parser.parse_args()
    data = batches.Data(args.data)
    model = load_model(args.folder, args.kernels, args.device)
    loss, bits = held_out_loss(model, data, args.device)
    print(f"held-out loss {loss:.4f}, {bits:.4f} bits per byte", flush=True)
    results = {"held_out_loss": loss, "held_out_bits_per_byte": bits, "recall": []}
    distances = [(f"{n} turns", {"turns": n}) for n in args.turns] + [(f"{n:,} tokens", {"tokens": n}) for n in args.tokens]
    for facts, (name, distance) in itertools.product(args.facts, distances):
        share, kinds = recall.evaluate(model, data, args.device, args.count, facts, **distance)
        results["recall"].append({"facts": facts, "after": name, "share": share, "count": args.count})
        print(f"recall of {facts} told, after {name}: {share:.1%}  "
              + "  ".join(f"{kind} {right}/{asked}" for kind, (right, asked) in kinds.items()), flush=True)
    if args.samples:
        results["copying"] = report_copying(model, data, args)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
