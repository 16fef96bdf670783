#!/usr/bin/env python3
"""Makes the GGUF files of tests/golden/gguf with the Python package gguf.

    python3 tools/golden/make_gguf_golden.py [OUT]      (default: tests/golden/gguf)

blocks.gguf   random blocks of every quantised type, "q4_k" and the like, and beside each the values
              that gguf.quants gives them, "q4_k.f32". Scales are finite halves, subnormal ones and
              zeros among them.
plain.gguf, falcon.gguf, mamba2.gguf, codestral.gguf
              the models of these names in tests/golden/models as F32, named and laid out as
              llama.cpp's converter does it.
quantised.gguf
              a random model with matrices of seven block types.

Needs numpy, gguf, safetensors; the committed files were made with 2.4.6, 0.19.0 and 0.8.0.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file

REPOSITORY = Path(__file__).resolve().parents[2]

# Type: where in a block the half scales lie.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
ELEMENTS = 1024

LAYER_NAMES = {
    "norm.weight": "attn_norm.weight", "mixer.in_proj.weight": "ssm_in.weight",
    "mixer.conv1d.weight": "ssm_conv1d.weight", "mixer.conv1d.bias": "ssm_conv1d.bias",
    "mixer.x_proj.weight": "ssm_x.weight", "mixer.dt_proj.weight": "ssm_dt.weight",
    "mixer.dt_proj.bias": "ssm_dt.bias", "mixer.A_log": "ssm_a", "mixer.D": "ssm_d",
    "mixer.out_proj.weight": "ssm_out.weight", "mixer.dt_bias": "ssm_dt.bias",
    "mixer.norm.weight": "ssm_norm.weight",
}
NAMES = {
    "backbone.embeddings.weight": "token_embd.weight",
    "backbone.embedding.weight": "token_embd.weight", "backbone.norm_f.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def random_blocks(kind, count, rng, scale=None):
    """[count, bytes of a block] uint8. `scale`: the size of the half scales; None: all sizes."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for place in SCALES[kind]:
        if scale is None:
            bits = rng.integers(0, 1 << 16, count, dtype=np.uint16)
            bits = np.where(bits & 0x7C00 == 0x7C00, bits & 0x83FF, bits).astype(np.uint16)
            bits[0] = 0
        else:
            bits = (scale * rng.standard_normal(count)).astype(np.float16).view(np.uint16)
        blocks[:, place:place + 2] = bits.view(np.uint8).reshape(count, 2)
    return blocks



def make_blocks(path):
    rng = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "blocks")
    for kind in SCALES:
        count = ELEMENTS // gguf.GGML_QUANT_SIZES[kind][0]
        blocks = random_blocks(kind, count, rng).reshape(1, -1)
        writer.add_tensor(kind.name.lower(), blocks, raw_dtype=kind)
        values = gguf.quants.dequantize(blocks, kind).astype(np.float32)
        assert np.isfinite(values).all() and values.shape == (1, ELEMENTS)
        writer.add_tensor(kind.name.lower() + ".f32", values)
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def model_writer(path, *, layers, d_model, d_inner, d_state, d_conv, dt_rank, vocab_size, eps,
                 architecture="mamba"):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(2**20)
    writer.add_embedding_length(d_model)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_block_count(layers)
    writer.add_ssm_conv_kernel(d_conv)
    writer.add_ssm_inner_size(d_inner)
    writer.add_ssm_state_size(d_state)
    writer.add_ssm_time_step_rank(dt_rank)
    writer.add_layer_norm_rms_eps(eps)
    writer.add_vocab_size(vocab_size)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    return writer


def gguf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{LAYER_NAMES[rest]}"


def make_mamba1(path):
    config, tensors = load_model(path.stem)
    writer = model_writer(
        path, layers=config["num_hidden_layers"], d_model=config["hidden_size"],
        d_inner=config["intermediate_size"], d_state=config["state_size"],
        d_conv=config["conv_kernel"], dt_rank=-(-config["hidden_size"] // 16),
        vocab_size=config["vocab_size"], eps=config["layer_norm_epsilon"])
    if config["model_type"] == "falcon_mamba":
        writer.add_ssm_dt_b_c_rms(True)
    for name, values in tensors.items():
        add_tensor(writer, name, values)
    finish(writer)


def make_mamba2(path):
    config, tensors = load_model(path.stem)
    layer = "backbone.layers.0.mixer."
    d_model, d_inner = tensors[layer + "out_proj.weight"].shape
    heads, groups = tensors[layer + "A_log"].size, config["n_groups"]
    conv_dim, _, d_conv = tensors[layer + "conv1d.weight"].shape
    writer = model_writer(
        path, architecture="mamba2", d_model=d_model, d_inner=d_inner, d_conv=d_conv,
        layers=config.get("num_hidden_layers", config.get("n_layers")), dt_rank=heads,
        d_state=(conv_dim - d_inner) // 2 // groups, vocab_size=config["vocab_size"],
        eps=config.get("layer_norm_epsilon", 1e-5))
    writer.add_ssm_group_count(groups)
    for name, values in tensors.items():
        if name.endswith(("mixer.A_log", "mixer.D")):
            values = values.reshape(heads, 1)
        if name.endswith("mixer.norm.weight"):
            values = values.reshape(groups, d_inner // groups)
        add_tensor(writer, name, values)
    finish(writer)


def load_model(name):
    """Its config.json, and its tensors without what Mistral puts before their names."""
    folder = REPOSITORY / "tests/golden/models" / name
    tensors = load_file(folder / "model.safetensors")
    return (json.loads((folder / "config.json").read_text()),
            {name.removeprefix("model."): values for name, values in tensors.items()})


def add_tensor(writer, name, values):
    if name.endswith("A_log"):
        values = -np.exp(values)
    if name.endswith("conv1d.weight"):
        values = values.squeeze(1)
    writer.add_tensor(gguf_name(name), np.ascontiguousarray(values, dtype=np.float32))


def make_quantised(path):
    rng = np.random.default_rng(5)
    d_model, d_inner, d_state, d_conv, dt_rank, rows = 256, 256, 8, 4, 32, 24
    writer = model_writer(path, layers=1, d_model=d_model, d_inner=d_inner, d_state=d_state,
                          d_conv=d_conv, dt_rank=dt_rank, vocab_size=rows, eps=1e-5)

    def matrix(name, kind, shape, scale):
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random_blocks(kind, shape[0] * shape[1] // elements, rng, scale)
        writer.add_tensor(name, blocks.reshape(shape[0], shape[1] // elements * size),
                          raw_dtype=kind)

    def vector(name, values):
        writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32))

    matrix("token_embd.weight", Type.Q6_K, (rows, d_model), 2e-4)
    vector("output_norm.weight", rng.uniform(0.5, 1.5, d_model))
    matrix("output.weight", Type.Q5_K, (rows, d_model), 2e-4)
    vector("blk.0.attn_norm.weight", rng.uniform(0.5, 1.5, d_model))
    matrix("blk.0.ssm_in.weight", Type.Q4_K, (2 * d_inner, d_model), 2e-4)
    vector("blk.0.ssm_conv1d.weight", rng.standard_normal((d_inner, d_conv)) * 0.5)
    vector("blk.0.ssm_conv1d.bias", rng.standard_normal(d_inner) * 0.1)
    matrix("blk.0.ssm_x.weight", Type.Q5_1, (dt_rank + 2 * d_state, d_inner), 3e-3)
    matrix("blk.0.ssm_dt.weight", Type.Q8_0, (d_inner, dt_rank), 1e-3)
    vector("blk.0.ssm_dt.bias", rng.uniform(-4, -1, d_inner))
    vector("blk.0.ssm_a", -rng.uniform(0.5, 8, (d_inner, d_state)))
    vector("blk.0.ssm_d", rng.uniform(0.5, 1.5, d_inner))
    matrix("blk.0.ssm_out.weight", Type.Q3_K, (d_model, d_inner), 2e-4)
    finish(writer)


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "tests/golden/gguf")
    out.mkdir(parents=True, exist_ok=True)
    make_blocks(out / "blocks.gguf")
    make_mamba1(out / "plain.gguf")
    make_mamba1(out / "falcon.gguf")
    make_mamba2(out / "mamba2.gguf")
    make_mamba2(out / "codestral.gguf")
    make_quantised(out / "quantised.gguf")


if __name__ == "__main__":
    main()
