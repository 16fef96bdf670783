#!/usr/bin/env python3
"""Logits of bundled models by the PyTorch code that trained them: tests/golden/bundled/NAME.json.

    tools/golden/make_bundled_golden.py tales induction copying induction-lti copying-lti
"""
import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from train import mamba1, mamba1_ops, s4d  # noqa: E402
from train.recall_tasks import TASKS  # noqa: E402

LENGTH, SEED = 64, 3
KINDS = {"mamba": mamba1.Mamba1, "s4d": s4d.S4D}
TALE = """Once upon a time there was a fox who lived near an old mill. One day he fell into the well
and could not get out. "Help me," cried he, "and I will give you the golden key!\""""


def tale(folder):
    return [0, *Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TALE.replace("\n", " ")).ids]


def sequence(task):
    draw = random.Random(SEED)
    if task is TASKS["induction"]:
        ids = [draw.randrange(task.ordinary) for _ in range(LENGTH)]
        ids[10] = ids[-1] = task.special_id
        return ids
    ids = [task.noise_id] * (LENGTH - task.answers) + [task.marker_id] * task.answers
    for place in draw.sample(range(LENGTH - task.answers), task.answers):
        ids[place] = draw.randrange(task.symbols)
    return ids


def make(name):
    folder = ROOT / "models" / "bundled" / name
    config = json.loads((folder / "config.json").read_text())
    shape = mamba1.Shape(config["vocab_size"], config["hidden_size"], config["num_hidden_layers"])
    model = KINDS[config["model_type"]](shape, mamba1_ops.Ops("plain"))
    model.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    model.eval()
    ids = tale(folder) if name == "tales" else sequence(TASKS[name.removesuffix("-lti")])
    # Of a large vocabulary some columns: those of the tokens that occur, and every hundredth.
    vocab = config["vocab_size"]
    columns = [*range(vocab)] if vocab <= 100 else sorted({*ids, *range(0, vocab, 100), vocab - 1})
    with torch.no_grad():
        logits, _ = model(torch.tensor([ids]), model.initial_state(1, "cpu"))
    golden = {"made_by": f"tools/golden/make_bundled_golden.py, PyTorch {torch.__version__.split('+')[0]}",
              "ids": ids}
    if len(columns) < vocab:
        golden["columns"] = columns
    golden["logits"] = [[round(float(row[c]), 6) for c in columns] for row in logits[0]]
    path = ROOT / "tests" / "golden" / "bundled" / f"{name}.json"
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        make(name)
