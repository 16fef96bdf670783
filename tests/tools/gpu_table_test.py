#!/usr/bin/env python3
"""tools/gpu_check --table: what becomes of the figures of a run."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"
GPU_CHECK = TOOLS / "gpu_check"
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))

from gpu import table  # noqa: E402

REPORT = {
    "format": 1, "date": "2026-01-02", "device": "cuda", "krait": "0.1.0, abc",
    "stages": {
        "device": {"status": "passed", "seconds": 1, "name": "GPU X", "driver": "580.1"},
        "micro": {"status": "passed", "read_plain_gb_s": 3000.0, "read_bulk_gb_s": 3100.4,
                  "grid_barrier_us": 1.094, "graph_node_overlapped_us": None},
        "tests": {"status": "failed", "tests": 5, "failed": 1, "skipped": 0, "problems": ["A.b"]},
        "parity": {"status": "passed", "logits": [
            {"model": "mamba1", "dtype": "f32", "error": 1.3e-6, "tolerance": 1e-4,
             "same_bits": {"1": True, "7": True}}],
            "batch": [{"model": "mamba1", "prompts": 64, "same": 64}]},
        "sanitize": {"status": "passed", "runs": 24, "clean": 24},
        "soak": {"status": "passed", "tokens": 1000000, "tok_s": 9000.4, "gpu_growth_mib": 0,
                 "process_growth_mib": None, "last_third_speed": 0.99},
        "bench": {"status": "incomplete", "results": [
            {"model": "mamba-130m", "dtype": "bf16", "n_prompt": 512, "n_gen": 0, "batch": 1,
             "tok_s": {"median": 100000.0}, "tflop_s": 25.0},
            {"model": "mamba-130m", "dtype": "bf16", "n_prompt": 0, "n_gen": 128, "batch": 1,
             "tok_s": {"median": 4012.3}, "read_share": 0.356},
            {"model": "mamba-130m", "dtype": "bf16", "n_prompt": 0, "n_gen": 128, "batch": 32,
             "tok_s": {"median": 61234.0}, "read_share": 0.41},
            {"model": "mamba-2.8b", "dtype": "q8_0", "n_prompt": 0, "n_gen": 128, "batch": 1,
             "tok_s": {"median": 99.94}, "read_share": None}]},
        "peers": {"status": "passed", "matmul_tflop_s": 500.0, "results": [
            {"model": "mamba-130m", "dtype": "bf16", "n_prompt": 0, "tok_s": 40.1}]}}}


class TableTest(unittest.TestCase):
    def test_lines(self):
        text = table.render(REPORT)
        for line in [
                "GPU X; driver 580.1; 3000 GB/s read by plain loads; 3100 GB/s read by bulk "
                "copies; 500 TFLOP/s in a large bf16 product (PyTorch). krait 0.1.0, abc, 2026-01-02.",
                "| shape | weights | 1 sequence, tok/s | share | 32 sequences, tok/s | share |",
                "| mamba-130m | bf16 | 4,012 | 36 % | 61,234 | 41 % |",
                "| mamba-2.8b | q8_0 | 99.9 |  |  |  |",
                "| mamba-130m | bf16 | 100,000 | 25.0 | 5 % |",
                "| mamba-130m | bf16 | decoding, 1 sequence | 4,012 | 40.1 | 100.1 |",
                "| barrier of the whole grid (cooperative groups) | 1.09 |",
                "| mamba1 | f32 | 1.3e-06 | 1e-04 | yes |",
                "- tests: failed, 5 tests, 1 failed, 0 skipped", "  - A.b",
                "- parity: passed, mamba1 64 of 64 texts the same in a batch",
                "- sanitize: passed, 24 of 24 runs clean",
                "- soak: passed, 1,000,000 tokens at 9,000 tok/s, 0 MiB more memory of the GPU at "
                "the end, 0.99 times the speed in the last third",
                "- bench: incomplete"]:
            self.assertIn(line, text.splitlines())
        self.assertNotIn("programmatic", text)

    def test_a_report_of_nothing(self):
        text = table.render({"date": "d", "krait": "k", "device": "cpu", "stages": {}})
        self.assertEqual(text, "cpu. krait k, d.")

    def test_flag(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(REPORT, file)
            file.flush()
            done = subprocess.run([sys.executable, str(GPU_CHECK), "--table", file.name],
                                  capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, table.render(REPORT) + "\n"))


if __name__ == "__main__":
    unittest.main()
