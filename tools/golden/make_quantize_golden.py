#!/usr/bin/env python3
"""Makes tests/golden/quantize: float32 values and the q8_0 and q4_0 blocks that the Python package
gguf makes of them.

    python3 tools/golden/make_quantize_golden.py [OUT]      (default: tests/golden/quantize)

Needs numpy, gguf.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize

BLOCKS = 96


def values(rng):
    """[BLOCKS, 32]: of many sizes, with ties, zeros and outliers."""
    x = rng.standard_normal((BLOCKS, 32)) * 10.0 ** rng.integers(-6, 4, (BLOCKS, 1))
    x[0] = 0
    x[1] = np.arange(32) - 15.5  # equal magnitudes of both signs, halves between levels
    x[2] = 127 * np.where(np.arange(32) % 2, 1, -1)
    x[3] = (np.arange(32) - 16) / 2 * 0.25
    x[3, 0] = 2.0
    x[4:8, 5] *= 1000
    return x.astype(np.float32)


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else (
        Path(__file__).resolve().parents[2] / "tests/golden/quantize")
    x = values(np.random.default_rng(7))
    (out / "values.f32").write_bytes(x.tobytes())
    for kind in [Type.Q8_0, Type.Q4_0]:
        (out / kind.name.lower()).write_bytes(quantize(x, kind).tobytes())
    (out / "versions.json").write_text(
        json.dumps({name: version(name) for name in ["gguf", "numpy"]}, indent=1) + "\n")


main()
