#!/usr/bin/env python3
"""Logits of a bundled recall model by the PyTorch code that trained it: tests/golden/bundled/NAME.json.

    tools/golden/make_bundled_golden.py induction
"""
import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from train import mamba1, mamba1_ops  # noqa: E402

LENGTH, SEED, SPECIAL = 64, 3, 15


def main(name):
    folder = ROOT / "models" / "bundled" / name
    config = json.loads((folder / "config.json").read_text())
    shape = mamba1.Shape(config["vocab_size"], config["hidden_size"], config["num_hidden_layers"])
    model = mamba1.Mamba1(shape, mamba1_ops.Ops("plain"))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.eval()
    draw = random.Random(SEED)
    ids = [draw.randrange(SPECIAL) for _ in range(LENGTH)]
    ids[10] = ids[-1] = SPECIAL
    with torch.no_grad():
        logits, _ = model(torch.tensor([ids]), model.initial_state(1, "cpu"))
    golden = {"made_by": f"tools/golden/make_bundled_golden.py, PyTorch {torch.__version__.split('+')[0]}",
              "ids": ids,
              "logits": [[round(float(x), 6) for x in row] for row in logits[0]]}
    path = ROOT / "tests" / "golden" / "bundled" / f"{name}.json"
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
