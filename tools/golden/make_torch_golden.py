#!/usr/bin/env python3
"""Makes the files of tests/golden/torch with PyTorch: the same tensors as torch.save writes them in
several ways, and as safetensors.

    python3 tools/golden/make_torch_golden.py [OUT]      (default: tests/golden/torch)

Needs torch, safetensors, numpy.
"""

import json
import platform
import sys
from collections import OrderedDict
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch import nn

README = """# Files by torch.save

Made by `python3 tools/golden/make_torch_golden.py` with Python {python}, torch {torch}, safetensors
{safetensors}. `F.bin`, `F_legacy.bin` and the folder `F` hold the tensors of `F.safetensors`.

| file | what it is |
|---|---|
| mixed.bin | zip container: every element type, shared storages, offsets, transposed and strided tensors, empty and rank 0 |
| mixed_legacy.bin | the same in the container before torch 1.6 |
| module.bin | an OrderedDict with _metadata, as Module.state_dict() gives it, tied head |
| module_legacy.bin | the same in the legacy container |
| parameters.bin | Parameters and tensors with attributes, under "state_dict" beside other things |
| shards/ | two files and pytorch_model.bin.index.json |
| script.pt | a TorchScript archive; refused |
"""


def mixed():
    torch.manual_seed(5)
    base = torch.randn(6, 8)
    cube = torch.randn(3, 4, 5)
    return {
        "f32": torch.randn(3, 5),
        "f16": torch.randn(4, 3).half(),
        "bf16": torch.randn(7).bfloat16(),
        "f64": torch.randn(2, 2, 2).double(),
        "i64": torch.tensor([-(2**62), 3]),
        "i32": torch.tensor([[-7, 2**30]], dtype=torch.int32),
        "i16": torch.tensor([-300, 300], dtype=torch.int16),
        "i8": torch.tensor([-128, 127], dtype=torch.int8),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "rank0": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "base": base,
        "rows": base[2:5],
        "transposed": base.t(),
        "transposed_again": base.t(),
        "columns": base[:, 1::3],
        "permuted": cube.permute(2, 0, 1),
        "every_other": cube[::2, 1:3, ::2],
        "repeated": torch.randn(1, 3).expand(4, 3),
        "one_row": base[:1].t(),
        "half_transposed": torch.randn(3, 2).half().t(),
    }


class Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight


def parameters():
    plain = nn.Parameter(torch.randn(3, 2))
    attributed = nn.Parameter(torch.randn(4))
    attributed._no_weight_decay = True
    tensor = torch.randn(2, 3).t()
    tensor.note = "kept"
    return OrderedDict(plain=plain, attributed=attributed, tensor=tensor)


def save_both(out, name, tensors):
    torch.save(tensors, out / f"{name}.bin")
    torch.save(tensors, out / f"{name}_legacy.bin", _use_new_zipfile_serialization=False)
    save_reference(out, name, tensors)


def save_reference(out, name, tensors):
    dense = {key: value.detach().clone(memory_format=torch.contiguous_format)
             for key, value in tensors.items()}
    save_file(dense, out / f"{name}.safetensors")


def save_shards(out, tensors):
    folder = out / "shards"
    folder.mkdir(exist_ok=True)
    names = list(tensors)
    weight_map = {}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-0000{i}-of-00002.bin"
        torch.save({name: tensors[name] for name in part}, folder / file)
        weight_map.update(dict.fromkeys(part, file))
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "config.json").write_text('{"d_model": 6, "n_layer": 3}\n')
    save_reference(out, "shards", tensors)


def main(arguments):
    out = Path(arguments[0] if arguments else Path(__file__).parents[2] / "tests/golden/torch")
    out.mkdir(parents=True, exist_ok=True)
    save_both(out, "mixed", mixed())
    module = Module()
    save_both(out, "module", module.state_dict())
    torch.save({"state_dict": parameters(), "epoch": 3, "loss": 0.25, "history": [1, None, "x"],
                "shape": torch.Size([2, 3])}, out / "parameters.bin")
    save_reference(out, "parameters", parameters_again(out))
    save_shards(out, module.state_dict())
    torch.jit.script(nn.Linear(2, 2)).save(str(out / "script.pt"))
    (out / "README.md").write_text(README.format(
        python=platform.python_version(), torch=torch.__version__.split("+")[0],
        safetensors=safetensors.__version__))


def parameters_again(out):
    """The parameters as PyTorch itself reads them back."""
    return torch.load(out / "parameters.bin", weights_only=False)["state_dict"]


if __name__ == "__main__":
    main(sys.argv[1:])
