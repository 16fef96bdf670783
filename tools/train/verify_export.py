#!/usr/bin/env python3
"""Loads an exported folder with Hugging Face transformers (float32, its plain sequential
path), recomputes the held-out loss of its model card and continues a prompt."""
import argparse
import math
import pathlib
import re

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import corpus

WINDOW = 1024  # as EVAL_WINDOW of train_bundled.py
TOLERANCE = 2e-3


def held_out_loss(model, tokens, batch=16):
    """Mean loss over windows that each start from an empty state."""
    count, total = len(tokens) - 1, 0.0
    whole = count // WINDOW
    rows = [(i * WINDOW, (i + 1) * WINDOW) for i in range(whole)]
    groups = [rows[i : i + batch] for i in range(0, whole, batch)]
    if count % WINDOW:
        groups.append([(whole * WINDOW, count)])
    with torch.no_grad():
        for group in groups:
            ids = torch.stack([tokens[a:b] for a, b in group])
            targets = torch.stack([tokens[a + 1 : b + 1] for a, b in group])
            logits = model(ids, use_cache=False).logits.float()
            total += torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
    return total / count


def card_loss(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    match = re.search(r"windows of \d+ tokens[^|]*\| ([\d.]+) \|", card)
    if not match:
        raise SystemExit(f"{folder}/README.md: no held-out loss found")
    return float(match[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--data", required=True, help="the folder of books given to train_bundled.py")
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=200)
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()
    prompt = tokenizer(args.prompt, return_tensors="pt").input_ids
    for seed in range(args.samples):
        torch.manual_seed(seed)
        out = model.generate(prompt, do_sample=True, temperature=0.8, top_p=1.0, top_k=0,
                             max_new_tokens=args.max_tokens)
        print(f"--- seed {seed}\n{tokenizer.decode(out[0], skip_special_tokens=True)}\n", flush=True)

    documents = corpus.read_corpus(args.data).held_out
    ids = [i for d in documents for i in tokenizer(d).input_ids + [corpus.END_OF_TEXT_ID]]
    loss, stated = held_out_loss(model, torch.tensor(ids)), card_loss(args.folder)
    bits = loss * (len(ids) - 1) / sum(len(d.encode()) for d in documents) / math.log(2)
    print(f"held-out loss {loss:.4f}, {bits:.4f} bits per byte; the card says {stated:.4f}")
    if abs(loss - stated) > TOLERANCE:
        raise SystemExit("the loss differs from the model card")


if __name__ == "__main__":
    main()
