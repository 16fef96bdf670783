#!/usr/bin/env python3
"""Makes the golden logits of tests/golden/models with Hugging Face transformers.

    python3 tools/golden/make_model_golden.py [OUT]      (default: tests/golden/models)

Each case is a small random checkpoint, the ids fed to it and the logits that the model of
transformers gives in float32 on the CPU, without the mamba_ssm and causal_conv1d kernels. The logits are also computed
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
import make_s4d_golden
from safetensors.torch import save_file
from transformers import (FalconMambaConfig, FalconMambaForCausalLM, Mamba2Config, Mamba2ForCausalLM,
                          MambaConfig, MambaForCausalLM)

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSES = {"mamba": (MambaConfig, MambaForCausalLM),
           "falcon_mamba": (FalconMambaConfig, FalconMambaForCausalLM),
           "mamba2": (Mamba2Config, Mamba2ForCausalLM)}
EXTREME = [(0, 95.0, 1 / 95), (1, 24.0, 1 / 24), (2, -18.0, 3e6)]  # the last too large for f16
MAX_REFERENCE_ERROR = 2e-5  # of the largest |logit|; the tests allow 1e-4


@dataclass
class Case:
    name: str
    what: str  # why it is there
    config: dict  # of the config class, as stored
    model: str = "mamba"
    tokens: int = 40
    dtype: torch.dtype = torch.float32
    shards: int = 1
    edits: dict = field(default_factory=dict)  # of config.json, after transformers has written it
    native: dict = field(default_factory=dict)  # config.json in the place of that of transformers
    float64: dict = field(default_factory=dict)  # what transformers cannot do: logits in float64


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
    Case("falcon", "Falcon-Mamba: eps of dt, B, C far from that of the norms",
         dict(hidden_size=36, num_hidden_layers=2, mixer_rms_eps=0.05, vocab_size=67),
         model="falcon_mamba"),
    Case("falcon_odd", "Falcon-Mamba: expand contradicted by intermediate_size, biases, untied",
         dict(hidden_size=20, expand=16, intermediate_size=50, num_hidden_layers=3, state_size=5,
              conv_kernel=3, time_step_rank=3, use_bias=True, layer_norm_epsilon=0.01,
              tie_word_embeddings=False, vocab_size=50), model="falcon_mamba"),
    Case("mamba2", "one group, tied, time_step_limit as transformers writes it",
         dict(hidden_size=32, num_heads=4, head_dim=16, n_groups=1, state_size=16, vocab_size=67,
              num_hidden_layers=2, tie_word_embeddings=True), model="mamba2"),
    Case("mamba2_groups", "two groups, odd d_state, biases, untied, limit with Infinity",
         dict(hidden_size=36, num_heads=6, head_dim=12, n_groups=2, state_size=7, use_bias=True,
              vocab_size=53, num_hidden_layers=3), model="mamba2",
         edits={"time_step_limit": [0.0, float("inf")]}),
    Case("mamba2_limits", "expand 1, odd head_dim, three groups, finite limits, no conv bias",
         dict(hidden_size=45, expand=1, num_heads=9, head_dim=5, n_groups=3, state_size=33,
              conv_kernel=3, use_conv_bias=False, time_step_limit=(0.02, 0.5), vocab_size=61,
              num_hidden_layers=2, tie_word_embeddings=True), model="mamba2"),
    Case("mamba2_bf16", "stored as bf16, head_dim 40, no limit, large eps",
         dict(hidden_size=40, num_heads=2, head_dim=40, n_groups=1, state_size=24, vocab_size=71,
              num_hidden_layers=2, layer_norm_epsilon=0.03, tie_word_embeddings=True),
         model="mamba2", dtype=torch.bfloat16, edits={"time_step_limit": None}),
    Case("mamba2_one_head", "expand 3, one head of 108 channels",
         dict(hidden_size=36, expand=3, num_heads=1, head_dim=108, n_groups=1, state_size=9,
              conv_kernel=2, vocab_size=59, num_hidden_layers=1), model="mamba2"),
    Case("mamba2_long", "300 tokens, in chunks of 64",
         dict(hidden_size=24, num_heads=8, head_dim=6, n_groups=2, state_size=20, chunk_size=64,
              vocab_size=40, num_hidden_layers=2, tie_word_embeddings=True), model="mamba2",
         tokens=300),
    Case("native_mamba1", "layout of mamba_ssm, ssm_cfg with dt_rank, padded vocabulary",
         dict(hidden_size=30, num_hidden_layers=2, state_size=8, time_step_rank=3, vocab_size=64),
         native={"d_model": 30, "n_layer": 2, "vocab_size": 60, "rms_norm": True,
                 "ssm_cfg": {"d_state": 8, "dt_rank": 3}, "residual_in_fp32": True,
                 "fused_add_norm": True, "pad_vocab_size_multiple": 8}),
    Case("native_mamba2", "layout of mamba_ssm, two groups, norm before gate, D of every channel",
         dict(hidden_size=28, num_heads=4, head_dim=14, n_groups=2, state_size=11, vocab_size=48,
              num_hidden_layers=2, tie_word_embeddings=True), model="mamba2",
         native={"d_model": 28, "d_intermediate": 0, "n_layer": 2, "vocab_size": 47,
                 "ssm_cfg": {"layer": "Mamba2", "d_state": 11, "headdim": 14, "ngroups": 2,
                             "norm_before_gate": True, "D_has_hdim": True, "dt_limit": [0.01, 2.0]},
                 "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": True, "residual_in_fp32": True,
                 "fused_add_norm": True, "pad_vocab_size_multiple": 16, "tie_embeddings": True},
         float64={"norm_before_gate": True, "time_step_limit": (0.01, 2.0)}),
    Case("native_gate_only", "layout of mamba_ssm, rmsnorm false",
         dict(hidden_size=24, num_heads=4, head_dim=12, n_groups=1, state_size=16, vocab_size=48,
              num_hidden_layers=1, tie_word_embeddings=True), model="mamba2",
         native={"d_model": 24, "n_layer": 1, "vocab_size": 48, "rms_norm": True,
                 "ssm_cfg": {"layer": "Mamba2", "rmsnorm": False}, "pad_vocab_size_multiple": 16},
         float64={"norm_before_gate": False}),
    Case("codestral", "layout of Mamba-Codestral-7B: dim, n_layers, names with model. before them",
         dict(hidden_size=32, num_heads=8, head_dim=8, n_groups=4, state_size=10, vocab_size=64,
              num_hidden_layers=2), model="mamba2",
         native={"dim": 32, "n_layers": 2, "n_groups": 4, "vocab_size": 64, "rms_norm": True,
                 "residual_in_fp32": True, "fused_add_norm": True, "pad_vocab_size_multiple": 1,
                 "tie_embeddings": False, "model_type": "mamba"}),
]


def normal(generator, tensor, deviation, mean=0.0):
    tensor.copy_(mean + deviation * torch.randn(tensor.shape, generator=generator))


def uniform(generator, tensor, low, high):
    tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))


def randomise(model, g, narrow):
    """Weights that exercise everything: varied decays and step sizes, states and gates that matter."""
    normal(g, model.backbone.embeddings.weight, 0.7)
    normal(g, model.backbone.norm_f.weight, 0.3, 1.0)
    if not model.config.tie_word_embeddings:
        normal(g, model.lm_head.weight, 0.7)
    for block in model.backbone.layers:
        m = block.mixer
        normal(g, block.norm.weight, 0.3, 1.0)
        normal(g, m.in_proj.weight, 1.5 * m.in_proj.in_features**-0.5)
        normal(g, m.conv1d.weight, m.conv_kernel_size**-0.5)
        if model.config.model_type == "mamba2":
            mamba2_weights(m, g)
        else:
            mamba1_weights(m, g, narrow)


def mamba1_weights(m, g, narrow):
    normal(g, m.x_proj.weight, 2 * m.x_proj.in_features**-0.5)
    normal(g, m.dt_proj.weight, m.dt_proj.in_features**-0.5)
    uniform(g, m.dt_proj.bias, -5.0, 1.0)
    uniform(g, m.A_log, -3.0, 2.0)
    normal(g, m.D, 0.5, 0.5)
    normal(g, m.out_proj.weight, m.out_proj.in_features**-0.5)
    for bias in (m.conv1d.bias, m.in_proj.bias, m.out_proj.bias):
        if bias is not None:
            normal(g, bias, 0.3)
    # Step sizes on either side of softplus: where exp overflows, where softplus is the identity,
    # and where log(1 + exp) in float32 is 0. Their columns are scaled to weigh like the others.
    for channel, bias, scale in EXTREME[:2 if narrow else 3]:
        m.dt_proj.bias[3 * channel + 3] = bias
        m.out_proj.weight[:, 3 * channel + 3] *= scale
        if bias < -15:
            m.D[3 * channel + 3] = 0.0


def mamba2_weights(m, g):
    uniform(g, m.dt_bias, -5.0, 1.0)
    uniform(g, m.A_log, -3.0, 2.0)
    normal(g, m.D, 0.5, 0.5)
    normal(g, m.norm.weight, 0.3, 1.0)
    normal(g, m.out_proj.weight, m.out_proj.in_features**-0.5)
    for bias in (m.conv1d.bias, m.in_proj.bias, m.out_proj.bias):
        if bias is not None:
            normal(g, bias, 0.3)
    # The same step sizes for whole heads, where there are enough; x is scaled, before the norm.
    for head, bias, scale in EXTREME if m.num_heads > 3 else ():
        channels = slice(head * m.head_dim, (head + 1) * m.head_dim)
        m.dt_bias[head] = bias
        m.conv1d.weight[channels] *= scale
        if m.conv1d.bias is not None:
            m.conv1d.bias[channels] *= scale
        if bias < -15:
            m.D[head] = 0.0


def silu(v):
    return v / (1 + np.exp(-np.maximum(v, -700)))


def unit(v, eps, groups=1):
    v = v.reshape(groups, -1)
    return (v / np.sqrt(np.mean(v * v, axis=1, keepdims=True) + eps)).ravel()


def mamba1_mixer(p, config, u, past):
    """One token through MambaMixer or FalconMambaMixer; `past` keeps the states."""
    inner, states, rank = config.intermediate_size, config.state_size, config.time_step_rank
    xz = p["in_proj.weight"] @ u + p.get("in_proj.bias", 0.0)
    x, z = convolve(p, xz[:inner], past), xz[inner:]
    dt, b, c = np.split(p["x_proj.weight"] @ x, [rank, rank + states])
    if config.model_type == "falcon_mamba":
        dt, b, c = (unit(v, config.mixer_rms_eps) for v in (dt, b, c))
    dt = np.logaddexp(0, p["dt_proj.weight"] @ dt + p["dt_proj.bias"])[:, None]
    past["h"] = np.exp(dt * -np.exp(p["A_log"])) * past.get("h", 0.0) + dt * b * x[:, None]
    y = (past["h"] @ c + p["D"] * x) * silu(z)
    return p["out_proj.weight"] @ y + p.get("out_proj.bias", 0.0)


def mamba2_mixer(p, config, u, past):
    """One token through Mamba2 of mamba_ssm: the norm in groups, before or after the gate."""
    heads, groups = config.num_heads, config.n_groups
    inner, bc = heads * config.head_dim, groups * config.state_size
    zxbcdt = p["in_proj.weight"] @ u + p.get("in_proj.bias", 0.0)
    z, xbc, dt = np.split(zxbcdt, [inner, 2 * inner + 2 * bc])
    x, b, c = np.split(convolve(p, xbc, past), [inner, inner + bc])
    x = x.reshape(heads, config.head_dim)
    b, c = (np.repeat(v.reshape(groups, -1), heads // groups, axis=0) for v in (b, c))
    dt = np.clip(np.logaddexp(0, dt + p["dt_bias"]), *config.time_step_limit)
    decay = np.exp(-np.exp(p["A_log"]) * dt)
    h = decay[:, None, None] * past.get("h", 0.0) + (dt[:, None] * x)[:, :, None] * b[:, None]
    past["h"] = h
    d = p["D"].reshape(heads, -1)  # [heads, 1], or [heads, head_dim] when given for every channel
    y, gate = (np.einsum("hpn,hn->hp", h, c) + d * x).ravel(), silu(z)
    if "norm.weight" not in p:
        y = y * gate
    elif getattr(config, "norm_before_gate", False):
        y = unit(y, config.layer_norm_epsilon, groups) * p["norm.weight"] * gate
    else:
        y = unit(y * gate, config.layer_norm_epsilon, groups) * p["norm.weight"]
    return p["out_proj.weight"] @ y + p.get("out_proj.bias", 0.0)


def convolve(p, x, past):
    taps = p["conv1d.weight"][:, 0]
    past["x"] = np.vstack([past.get("x", np.zeros((taps.shape[1], len(x))))[1:], x])
    return silu((past["x"].T * taps).sum(1) + p.get("conv1d.bias", 0.0))


def logits_float64(state, config, ids):
    """The same logits in float64, straight from the equations, one token at a time."""
    w = {name: tensor.to(torch.float64).numpy() for name, tensor in state.items()}
    layers = [{k[len(p):].removeprefix("mixer."): v for k, v in w.items() if k.startswith(p)}
              for p in (f"backbone.layers.{i}." for i in range(config.num_hidden_layers))]
    norms = [w[f"backbone.layers.{i}.norm.weight"] for i in range(config.num_hidden_layers)]
    for i, p in enumerate(layers):  # the block's norm and the mixer's would share a name
        p.pop("norm.weight")
        if f"backbone.layers.{i}.mixer.norm.weight" in w:
            p["norm.weight"] = w[f"backbone.layers.{i}.mixer.norm.weight"]
    mixer = mamba2_mixer if config.model_type == "mamba2" else mamba1_mixer
    past = [{} for _ in layers]
    head = w.get("lm_head.weight", w["backbone.embeddings.weight"])
    rows = []
    for token in ids:
        r = w["backbone.embeddings.weight"][token]
        for i, p in enumerate(layers):
            r = r + mixer(p, config, unit(r, config.layer_norm_epsilon) * norms[i], past[i])
        rows.append(head @ (unit(r, config.layer_norm_epsilon) * w["backbone.norm_f.weight"]))
    return np.stack(rows)


def store_native(case, model, folder, generator):
    """Rewrites a folder to the layout and config.json of mamba_ssm (or Mistral), with the variants
    that transformers does not have. Returns the state dict as `logits_float64` takes it."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for i in range(case.config["num_hidden_layers"]):
        mixer = f"backbone.layers.{i}.mixer."
        if case.native.get("ssm_cfg", {}).get("D_has_hdim"):
            state[mixer + "D"] = torch.randn(state[mixer + "norm.weight"].shape, generator=generator)
        if case.native.get("ssm_cfg", {}).get("rmsnorm") is False:
            del state[mixer + "norm.weight"]
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    prefix = "model." if "dim" in case.native else ""
    save_file({prefix + name.replace("embeddings.", "embedding."): tensor.contiguous()
               for name, tensor in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(case.native, indent=2) + "\n")
    return state


@torch.no_grad()
def make(case, index, out):
    generator = torch.Generator().manual_seed(1000 + index)
    config_class, model_class = CLASSES[case.model]
    model = model_class(config_class(**case.config)).eval()
    randomise(model, generator, narrow=case.dtype != torch.float32)
    model.to(case.dtype)

    folder = out / case.name
    folder.mkdir()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    limit = size if case.shards == 1 else int(size / (case.shards - 0.5))
    model.save_pretrained(folder, max_shard_size=limit)
    (folder / "generation_config.json").unlink(missing_ok=True)
    assert len(list(folder.glob("model*.safetensors"))) == case.shards

    model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(case.config["vocab_size"], (case.tokens,), generator=generator)
    state = store_native(case, model, folder, generator) if case.native else model.state_dict()
    for key, value in case.float64.items():
        setattr(model.config, key, value)
    exact = logits_float64(state, model.config, ids.tolist())
    largest = float(np.abs(exact).max())
    if case.float64:
        logits, error = torch.from_numpy(exact).float(), "float64"
    else:
        logits = model(ids[None], use_cache=False).logits[0]
        error = float(np.abs(logits.numpy() - exact).max()) / largest
        assert error < MAX_REFERENCE_ERROR, (case.name, error)
        error = f"{error:.1e}"
    save_file({"ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")

    config_path = folder / "config.json"
    config = json.loads(config_path.read_text()) | case.edits
    config_path.write_text(json.dumps(config, indent=2) + "\n")
    return f"| {case.name} | {case.what} | {case.tokens} | {largest:.2f} | {error} |"


def readme(rows):
    versions = (f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, "
                f"transformers {transformers.__version__}, safetensors {safetensors.__version__}, "
                f"numpy {np.__version__}")
    return f"""# Golden logits of small Mamba models

Made by `python3 tools/golden/make_model_golden.py` with {versions}, one thread.

A case is a folder: a checkpoint with random weights as `save_pretrained` of `MambaForCausalLM`,
`FalconMambaForCausalLM` or `Mamba2ForCausalLM` writes it,
and `golden.safetensors` with `ids` (int64 `[T]`) and `logits` (float32 `[T, embedding rows]`, row t =
logits after token t), computed in float32 from the stored weights, the whole sequence in one call.
After that, `time_step_rank` ("plain") and `vocab_size` ("padded") were changed in config.json.
In every case one channel's step size lies where exp overflows, one where softplus is the identity,
and (f32 cases) one where it is about 1e-8.

`native_*` and `codestral` are the same weights under the names and with the config.json of mamba_ssm
and of Mistral. Where the last column says float64, transformers has no such variant, and the logits
are those of the float64 evaluation below. `s4d` is that of the code that trains such models
(`tools/golden/make_s4d_golden.py`), likewise in float64.

The gated norm of Mamba-2 goes by groups, as in mamba_ssm. This version of transformers agrees with
that; older ones take one mean over all channels, also with several groups.

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
    rows = [make(case, index, out) for index, case in enumerate(CASES)] + [make_s4d_golden.make(out)]
    (out / "README.md").write_text(readme(rows))


if __name__ == "__main__":
    main()
