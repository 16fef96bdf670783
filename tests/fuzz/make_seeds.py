#!/usr/bin/env python3
"""Writes the binary seeds under tests/fuzz/seeds: one small valid file of every kind, in which each
part of the format occurs. The seeds that are text are written by hand."""

import io
import struct
import zipfile
from pathlib import Path

SEEDS = Path(__file__).resolve().parent / "seeds"


def write(target, name, data):
    path = SEEDS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def u8(v): return struct.pack("<B", v)
def u16(v): return struct.pack("<H", v)
def u32(v): return struct.pack("<I", v)
def u64(v): return struct.pack("<Q", v)
def f32(v): return struct.pack("<f", v)


# ---- safetensors ----------------------------------------------------------------------------

def safetensors():
    header = (b'{"__metadata__":{"format":"pt"},'
              b'"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
              b'"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},'
              b'"c":{"dtype":"F8_E4M3","shape":[],"data_offsets":[32,33]},'
              b'"d":{"dtype":"F16","shape":[0,7],"data_offsets":[33,33]}}')
    write("safetensors", "small", u64(len(header)) + header + bytes(range(33)))


# ---- GGUF -----------------------------------------------------------------------------------

def text(s):
    data = s.encode() if isinstance(s, str) else s
    return u64(len(data)) + data


def pair(key, kind, value): return text(key) + u32(kind) + value
def array(key, kind, items): return pair(key, 9, u32(kind) + u64(len(items)) + b"".join(items))


def gguf(pairs, tensors=(), data=b"", version=3):
    head = b"GGUF" + u32(version) + u64(len(tensors)) + u64(len(pairs))
    head += b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


def tensor(name, dims, kind, offset):
    return (text(name) + u32(len(dims)) + b"".join(u64(d) for d in dims) + u32(kind) + u64(offset))


def gguf_files():
    arch = pair("general.architecture", 8, text("mamba"))
    kinds = [pair(f"k.{i}", i, bytes(n)) for i, n in
             {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}.items()]
    write("gguf", "every_kind", gguf([arch, pair("general.alignment", 4, u32(32))] + kinds +
                                     [array("a.i8", 1, [u8(3), u8(4)]), array("a.none", 8, [])]))
    tensors = [tensor("a.weight", [4, 2], 0, 0), tensor("b.weight", [32], 8, 32),
               tensor("c.weight", [256], 23, 96)]
    write("gguf", "tensors", gguf([arch], tensors, bytes(32 + 64 + 136), version=2))
    letters = ["<s>", "</s>", "\u0120", "a", "b", "ab", "\u0120a", "c"]
    write("gguf", "gpt2_tokenizer", gguf([
        arch, pair("tokenizer.ggml.model", 8, text("gpt2")),
        pair("tokenizer.ggml.pre", 8, text("olmo")),
        array("tokenizer.ggml.tokens", 8, [text(t) for t in letters]),
        array("tokenizer.ggml.token_type", 5, [u32(3), u32(3)] + [u32(1)] * 6),
        array("tokenizer.ggml.merges", 8, [text("a b"), text("\u0120 a")]),
        pair("tokenizer.ggml.bos_token_id", 4, u32(0)),
        pair("tokenizer.ggml.add_bos_token", 7, u8(1))]))
    pieces = ["<unk>", "<s>", "</s>", "<0x00>", "\u2581", "a", "b", "\u2581a"]
    write("gguf", "llama_tokenizer", gguf([
        arch, pair("tokenizer.ggml.model", 8, text("llama")),
        array("tokenizer.ggml.tokens", 8, [text(t) for t in pieces]),
        array("tokenizer.ggml.scores", 6, [f32(-i) for i in range(len(pieces))]),
        array("tokenizer.ggml.token_type", 5,
              [u32(t) for t in (2, 3, 3, 6, 1, 1, 1, 1)]),
        pair("tokenizer.ggml.bos_token_id", 4, u32(1)),
        pair("tokenizer.ggml.unknown_token_id", 4, u32(0))]))
    write("gguf", "mamba", mamba_gguf())


def mamba_gguf():
    model, inner, state, rank, rows = 4, 8, 2, 1, 8
    layer = "blk.0."
    shapes = {"token_embd.weight": [model, rows], "output_norm.weight": [model],
              layer + "attn_norm.weight": [model], layer + "ssm_in.weight": [model, 2 * inner],
              layer + "ssm_conv1d.weight": [4, inner], layer + "ssm_conv1d.bias": [inner],
              layer + "ssm_x.weight": [inner, rank + 2 * state],
              layer + "ssm_dt.weight": [rank, inner], layer + "ssm_dt.bias": [inner],
              layer + "ssm_a": [state, inner], layer + "ssm_d": [inner],
              layer + "ssm_out.weight": [inner, model]}
    tensors, offset = [], 0
    for name, dims in shapes.items():
        tensors.append(tensor(name, dims, 0, offset))
        size = 4
        for d in dims:
            size *= d
        offset += size + -size % 32
    pairs = [pair("general.architecture", 8, text("mamba")),
             pair("mamba.attention.layer_norm_rms_epsilon", 6, f32(1e-5))]
    pairs += [pair("mamba." + key, 4, u32(value)) for key, value in
              {"context_length": 64, "embedding_length": model, "block_count": 1,
               "ssm.conv_kernel": 4, "ssm.inner_size": inner, "ssm.state_size": state,
               "ssm.time_step_rank": rank}.items()]
    return gguf(pairs, tensors, bytes(offset))


# ---- PyTorch --------------------------------------------------------------------------------

def p_text(s): return b"X" + u32(len(s.encode())) + s.encode()
def p_global(module, name): return f"c{module}\n{name}\n".encode()


def p_tensor(key, kind, shape, strides):
    storage = (b"(" + p_text("storage") + p_global("torch", kind) + p_text(key) + p_text("cpu") +
               b"K\x06tQ")
    numbers = [b"(" + b"".join(b"K" + u8(v) for v in values) + b"t" for values in (shape, strides)]
    return (p_global("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + b"K\x00" +
            numbers[0] + numbers[1] + b"\x89" + p_global("collections", "OrderedDict") + b")RtR")


def pickles():
    a = p_tensor("0", "FloatStorage", (2, 3), (3, 1))
    b = p_tensor("0", "FloatStorage", (3, 2), (1, 3))
    plain = b"\x80\x02}q\x00(" + p_text("a") + a + p_text("b") + b + b"u."
    write("pickle", "tensors", plain)
    write("pickle", "values", b"\x80\x02](K\x01M\x02\x00J\x03\x00\x00\x00\x8a\x02\x01\x80G" +
          bytes(8) + b"\x88\x89N)\x85\x86U\x01x" + p_text("\u00e9") + b"\x87q\x00h\x00e.")
    write("pickle", "ordered", b"\x80\x02" + p_global("collections", "OrderedDict") + b")R(" +
          p_text("a") + a + b"u}" + p_text("_metadata") + b"}sb.")
    for name, more in {"zip": [], "wrapped": [("archive/.format_version", b"1")]}.items():
        body = plain if name == "zip" else (b"\x80\x02}(" + p_text("state_dict") + plain[2:-1] +
                                            p_text("step") + b"K\x05u.")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for member, data in [("archive/data.pkl", body), ("archive/byteorder", b"little"),
                                 ("archive/data/0", bytes(24)), ("archive/version", b"3\n")] + more:
                archive.writestr(zipfile.ZipInfo(member), data)
        write("torch", name, packed.getvalue())
    legacy = (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." +
              b"\x80\x02}(" + p_text("protocol_version") + b"M\xe9\x03" + p_text("little_endian") +
              b"\x88u.")
    old = plain.replace(b"K\x06tQ", b"K\x06NtQ")
    write("torch", "legacy", legacy + old + b"\x80\x02](" + p_text("0") + b"e." + u64(6) + bytes(24))


# ---- sentencepiece --------------------------------------------------------------------------

def field(number, wire, payload): return u8(number << 3 | wire) + payload
def message(number, payload): return field(number, 2, u8(len(payload)) + payload)


def sentencepiece():
    for name, algorithm in {"unigram": 1, "bpe": 2}.items():
        out = b""
        for i, (piece, kind) in enumerate([("<unk>", 2), ("<s>", 3), ("</s>", 3), ("b", 1),
                                           ("\u2581", 1), ("a", 1), ("\u2581a", 1), ("x", 4)]):
            out += message(1, message(1, piece.encode()) + field(2, 5, f32(-i)) +
                           field(3, 0, u8(kind)))
        # trainer_spec with model_type; normalizer_spec with add_dummy_prefix
        out += message(2, field(3, 0, u8(algorithm))) + message(3, field(3, 0, u8(1)))
        write("sentencepiece", name, out)


# ---- state files ----------------------------------------------------------------------------

def state_file():
    """For the model of state_file_target.cpp, without the checksum, the payload not compressed."""
    planes = [(0, "conv", 3, 10), (0, "ssm", 4, 10), (1, "ssm", 2, 7)]
    for name, position, logits, kind in [("start", 0, 0, 0), ("later", 3, 25, 0), ("bf16", 3, 0, 2)]:
        size = (84 * (2 if kind else 4)) + logits * 4
        frame = (b"\x28\xb5\x2f\xfd\x60" + u16(size - 256) if size >= 256 else
                 b"\x28\xb5\x2f\xfd\x20" + u8(size))
        frame += struct.pack("<I", size << 3 | 1)[:3] + bytes(size)
        out = b"\x93krait\r\n" + u32(2) + u64(0x1234) + text("tiny") + u8(0) + u8(kind)
        out += u64(12) + u64(3) + u64(position) + u32(len(planes))
        for layer, plane, rows, cols in planes:
            out += u32(layer) + text(plane) + u64(rows) + u64(cols)
        out += u64(position) + b"".join(u32(i) for i in range(position)) + u32(logits)
        out += text(frame) + text("notes" if logits else "")
        write("state_file", name, out)


safetensors()
gguf_files()
pickles()
sentencepiece()
state_file()
