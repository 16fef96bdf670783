#!/usr/bin/env python3
"""Makes the golden logits of tests/golden/models with Hugging Face transformers.

    python3 tools/golden/make_model_golden.py [OUT]      (default: tests/golden/models)

Each case is a small random checkpoint, the ids fed to it and the logits that MambaForCausalLM gives
in float32 on the CPU, without the mamba_ssm and causal_conv1d kernels. The logits are also computed
here in float64 from the equations, to show that the float32 rounding of the reference is far below
the tolerance that the tests ask for. Needs torch, transformers, safetensors, numpy.
"""

import json
import platform
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors
import torch
import transformers
from safetensors.torch import save_file
from transformers import MambaConfig, MambaForCausalLM

REPOSITORY = Path(__file__).resolve().parents[2]
MAX_REFERENCE_ERROR = 2e-5  # of the largest |logit|; the tests allow 1e-4


@dataclass
class Case:
    name: str
    what: str  # why it is there
    config: dict  # MambaConfig, as stored
    tokens: int = 40
    dtype: torch.dtype = torch.float32
    shards: int = 1
    edits: dict = field(default_factory=dict)  # of config.json, after transformers has written it


CASES = [
    Case("plain", 'd_model not a multiple of 16, dt_rank "auto"',
         dict(hidden_size=36, num_hidden_layers=2, vocab_size=67), edits={"time_step_rank": "auto"}),
    Case("odd_inner", "intermediate_size that expand does not give, all biases, untied",
         dict(hidden_size=20, intermediate_size=50, num_hidden_layers=3, state_size=5, conv_kernel=3,
              time_step_rank=1, use_bias=True, tie_word_embeddings=False, vocab_size=50)),
    Case("no_conv_bias", "no bias at all, short convolution, expand 1, large eps",
         dict(hidden_size=50, expand=1, num_hidden_layers=2, state_size=17, conv_kernel=2,
              time_step_rank=3, use_conv_bias=False, layer_norm_epsilon=0.03, vocab_size=61)),
    Case("one_state", "d_state 1, d_conv 1 (no convolution state), expand 3, four layers",
         dict(hidden_size=24, expand=3, num_hidden_layers=4, state_size=1, conv_kernel=1,
              use_bias=True, tie_word_embeddings=False, vocab_size=53)),
    Case("bf16", "stored as bf16, one wide layer",
         dict(hidden_size=72, num_hidden_layers=1, state_size=24, time_step_rank=7, vocab_size=83),
         dtype=torch.bfloat16),
    Case("f16", "stored as f16, untied",
         dict(hidden_size=40, num_hidden_layers=2, tie_word_embeddings=False, vocab_size=71),
         dtype=torch.float16),
    Case("shards", "three weight files",
         dict(hidden_size=33, expand=3, num_hidden_layers=3, conv_kernel=3, vocab_size=59),
         shards=3),
    Case("padded", "72 embedding rows, 67 of them in the vocabulary; wide convolution, no conv bias",
         dict(hidden_size=30, num_hidden_layers=2, state_size=8, conv_kernel=7, use_bias=True,
              use_conv_bias=False, vocab_size=72), edits={"vocab_size": 67}),
    Case("long", "300 tokens",
         dict(hidden_size=22, num_hidden_layers=2, vocab_size=40), tokens=300),
]


def randomise(model, generator, extreme):
    """Weights that exercise everything: varied decays and step sizes, states and gates that matter."""

    def normal(tensor, deviation, mean=0.0):
        tensor.copy_(mean + deviation * torch.randn(tensor.shape, generator=generator))

    def uniform(tensor, low, high):
        tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))

    normal(model.backbone.embeddings.weight, 0.7)
    normal(model.backbone.norm_f.weight, 0.3, 1.0)
    if not model.config.tie_word_embeddings:
        normal(model.lm_head.weight, 0.7)
    for block in model.backbone.layers:
        m = block.mixer
        normal(block.norm.weight, 0.3, 1.0)
        normal(m.in_proj.weight, 1.5 * m.in_proj.in_features**-0.5)
        normal(m.conv1d.weight, m.conv_kernel_size**-0.5)
        normal(m.x_proj.weight, 2 * m.x_proj.in_features**-0.5)
        normal(m.dt_proj.weight, m.dt_proj.in_features**-0.5)
        uniform(m.dt_proj.bias, -5.0, 1.0)
        uniform(m.A_log, -3.0, 2.0)
        normal(m.D, 0.5, 0.5)
        normal(m.out_proj.weight, m.out_proj.in_features**-0.5)
        for bias in (m.conv1d.bias, m.in_proj.bias, m.out_proj.bias):
            if bias is not None:
                normal(bias, 0.3)
        # Step sizes on either side of softplus: where exp overflows, where softplus is the identity,
        # and where log(1 + exp) in float32 is 0. Their columns are scaled to weigh like the others.
        for channel, bias, scale in extreme:
            m.dt_proj.bias[channel] = bias
            m.out_proj.weight[:, channel] *= scale
            if bias < -15:
                m.D[channel] = 0.0


def logits_float64(state, config, ids):
    """The same logits in float64, straight from the equations, one token at a time."""
    w = {name: tensor.to(torch.float64).numpy() for name, tensor in state.items()}
    silu = lambda v: v / (1 + np.exp(-v))
    norm = lambda v, g: v / np.sqrt(np.mean(v * v) + config.layer_norm_epsilon) * g
    layers = [{k[len(p):]: v for k, v in w.items() if k.startswith(p)}
              for p in (f"backbone.layers.{i}." for i in range(config.num_hidden_layers))]
    inner, states, taps = config.intermediate_size, config.state_size, config.conv_kernel
    rank = config.time_step_rank
    history = [np.zeros((taps, inner)) for _ in layers]
    h = [np.zeros((inner, states)) for _ in layers]
    head = w.get("lm_head.weight", w["backbone.embeddings.weight"])
    rows = []
    for token in ids:
        r = w["backbone.embeddings.weight"][token]
        for i, layer in enumerate(layers):
            p = {k.removeprefix("mixer."): v for k, v in layer.items()}
            xz = p["in_proj.weight"] @ norm(r, p["norm.weight"]) + p.get("in_proj.bias", 0.0)
            x, z = xz[:inner], xz[inner:]
            history[i] = np.vstack([history[i][1:], x])
            x = silu((history[i].T * p["conv1d.weight"][:, 0]).sum(1) + p.get("conv1d.bias", 0.0))
            dbc = p["x_proj.weight"] @ x
            dt, b, c = dbc[:rank], dbc[rank:rank + states], dbc[rank + states:]
            dt = np.logaddexp(0, p["dt_proj.weight"] @ dt + p["dt_proj.bias"])[:, None]
            h[i] = np.exp(dt * -np.exp(p["A_log"])) * h[i] + dt * b * x[:, None]
            y = (h[i] @ c + p["D"] * x) * silu(z)
            r = r + p["out_proj.weight"] @ y + p.get("out_proj.bias", 0.0)
        rows.append(head @ norm(r, w["backbone.norm_f.weight"]))
    return np.stack(rows)


@torch.no_grad()
def make(case, index, out):
    generator = torch.Generator().manual_seed(1000 + index)
    model = MambaForCausalLM(MambaConfig(**case.config)).eval()
    extreme = [(3, 95.0, 1 / 95), (6, 24.0, 1 / 24)]
    if case.dtype == torch.float32:
        extreme.append((9, -18.0, 3e6))  # too large a weight for f16
    randomise(model, generator, extreme)
    model.to(case.dtype)

    folder = out / case.name
    folder.mkdir()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    limit = size if case.shards == 1 else int(size / (case.shards - 0.5))
    model.save_pretrained(folder, max_shard_size=limit)
    (folder / "generation_config.json").unlink(missing_ok=True)
    assert len(list(folder.glob("model*.safetensors"))) == case.shards

    model = MambaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(case.config["vocab_size"], (case.tokens,), generator=generator)
    logits = model(ids[None], use_cache=False).logits[0]
    exact = logits_float64(model.state_dict(), model.config, ids.tolist())
    largest = float(np.abs(exact).max())
    error = float(np.abs(logits.numpy() - exact).max()) / largest
    assert error < MAX_REFERENCE_ERROR, (case.name, error)
    save_file({"ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")

    config_path = folder / "config.json"
    config = json.loads(config_path.read_text()) | case.edits
    config_path.write_text(json.dumps(config, indent=2) + "\n")
    return f"| {case.name} | {case.what} | {case.tokens} | {largest:.2f} | {error:.1e} |"


def readme(rows):
    versions = (f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, "
                f"transformers {transformers.__version__}, safetensors {safetensors.__version__}, "
                f"numpy {np.__version__}")
    return f"""# Golden logits of small Mamba models

Made by `python3 tools/golden/make_model_golden.py` with {versions}, one thread.

A case is a folder: a checkpoint with random weights as `MambaForCausalLM.save_pretrained` writes it,
and `golden.safetensors` with `ids` (int64 `[T]`) and `logits` (float32 `[T, embedding rows]`, row t =
logits after token t), computed in float32 from the stored weights, the whole sequence in one call.
After that, `time_step_rank` ("plain") and `vocab_size` ("padded") were changed in config.json.
In every case one channel's step size lies where exp overflows, one where softplus is the identity,
and (f32 cases) one where it is about 1e-8.

The last column compares the reference with a float64 evaluation of the equations, as a share of the
largest |logit|.

| case | what is special | T | largest logit | error of the reference |
|---|---|---|---|---|
""" + "\n".join(rows) + "\n"


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "tests/golden/models"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    rows = [make(case, index, out) for index, case in enumerate(CASES)]
    (out / "README.md").write_text(readme(rows))


if __name__ == "__main__":
    main()
