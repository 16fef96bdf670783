#!/usr/bin/env python3
"""Makes tests/golden/models/s4d: a small random S4D model of tools/train/s4d.py, ids and logits.

    tools/golden/make_s4d_golden.py [OUT]      (default: tests/golden/models)

The logits are those of the convolution form, in float64. Needs torch, safetensors.
"""
import json
import math
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from train import mamba1_ops, recall_export  # noqa: E402
from train.mamba1 import Shape  # noqa: E402
from train.s4d import S4D  # noqa: E402

SEED, TOKENS = 11, 300
SHAPE = Shape(vocab_size=47, d_model=36, n_layer=2, d_state=10, d_conv=3, norm_eps=1e-4)


def randomise(model, g):
    """Weights that exercise everything: fast and slow decays, frequencies, states and gates that matter."""
    def normal(tensor, deviation, mean=0.0):
        tensor.copy_(mean + deviation * torch.randn(tensor.shape, generator=g))

    normal(model.backbone.embeddings.weight, 0.7)
    normal(model.backbone.norm_f.weight, 0.3, 1.0)
    for layer in model.backbone.layers:
        m = layer.mixer
        normal(layer.norm.weight, 0.3, 1.0)
        normal(m.in_proj.weight, 1.5 * m.in_proj.in_features**-0.5)
        normal(m.conv1d.weight, SHAPE.d_conv**-0.5)
        normal(m.conv1d.bias, 0.3)
        m.log_dt.copy_(math.log(1e-3) + math.log(1e3) * torch.rand(m.log_dt.shape, generator=g))  # up to 1
        m.log_A_real.copy_(4 * torch.rand(m.log_A_real.shape, generator=g) - 3)
        m.A_imag.copy_(20 * torch.rand(m.A_imag.shape, generator=g) - 5)
        normal(m.C, 1.0)
        normal(m.D, 0.5, 0.5)
        normal(m.out_proj.weight, m.out_proj.in_features**-0.5)


@torch.no_grad()
def make(out):
    """A row of the table in README.md."""
    g = torch.Generator().manual_seed(SEED)
    model = S4D(SHAPE, mamba1_ops.Ops("plain"))
    randomise(model, g)
    folder = out / "s4d"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(recall_export.config_of(SHAPE, "s4d"), indent=2) + "\n")
    ids = torch.randint(SHAPE.vocab_size, (TOKENS,), generator=g)
    model.double().eval()
    state = [tuple(t.double() for t in layer) for layer in model.initial_state(1, "cpu")]
    logits = model(ids[None], state)[0][0].float().contiguous()
    save_file({"ids": ids, "logits": logits}, folder / "golden.safetensors")
    return f"| s4d | S4D of tools/train/s4d.py, as a convolution | {TOKENS} | {logits.abs().max():.2f} | float64 |"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(make(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/golden/models"))
