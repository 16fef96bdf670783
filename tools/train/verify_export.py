#!/usr/bin/env python3
"""Loads an exported folder with Hugging Face transformers (float32, its plain sequential
path), continues a prompt and compares the loss of held-out text with the training code's."""
import argparse
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import batches, evaluate_recall

TOLERANCE = 1e-4
TOKENS = 16 * 512


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--data", required=True, help="folder written by prepare.py")
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

    tokens = torch.from_numpy(batches.Data(args.data).held_out[: TOKENS + 1].astype("int64"))
    ids, targets = tokens[:-1].view(16, -1), tokens[1:].view(16, -1)
    own = evaluate_recall.load_model(args.folder, "auto", "cpu")
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits.float()
        theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
        ours = own.loss(ids, targets, torch.full(targets.shape, 1.0 / TOKENS))[0].item()
    print(f"held-out loss of {TOKENS} tokens: {theirs:.6f} by transformers, {ours:.6f} by the training code")
    if abs(theirs - ours) > TOLERANCE:
        raise SystemExit("they differ")


if __name__ == "__main__":
    main()
