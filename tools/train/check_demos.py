#!/usr/bin/env python3
"""Checks what train_demos.py trains with: scans, S4D's two forms, tasks, evaluation. Exits
non-zero on the first disagreement. With TRITON_INTERPRET=1 the Triton kernels run on the CPU."""
import argparse
import os
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from train import device_ops, mamba1, mamba1_ops, parallel_scan, recall_eval, recall_tasks, s4d


def expect(name, error, tolerance):
    print(f"{name:50} {error:.1e}", flush=True)
    if not error <= tolerance:
        raise SystemExit(f"{name}: {error:.1e} exceeds {tolerance:.0e}")


def check_scans():
    expect("parallel scan, value and gradients", device_ops.scan_error(parallel_scan.selective_scan, "cpu"), 1e-5)
    if os.environ.get("TRITON_INTERPRET") == "1":
        for d_state in (16, 32):
            error = device_ops.scan_error(interpreted_scan(), "cpu", d_state)
            expect(f"Triton scan (interpreter), d_state {d_state}", error, 1e-5)


def interpreted_scan():
    """Triton 3.6 reads scalars in a way that newer versions of numpy refuse."""
    import triton.runtime.interpreter as interpreter

    patch = interpreter._patch_lang_tensor

    def patched(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    if patch.__name__ != "patched":
        interpreter._patch_lang_tensor = patched
    from train import selective_scan_triton

    return selective_scan_triton.SelectiveScan.apply


def s4d_recurrence(mixer, u):
    """The definition, one step at a time, in float64."""
    log_decay, weight = (t.to(torch.complex128) for t in mixer.discrete())
    C, decay = torch.view_as_complex(mixer.C.double()), torch.exp(log_decay)
    h, outputs = torch.zeros(u.shape[0], *decay.shape, dtype=torch.complex128), []
    for u_t in u.double().unbind(1):
        h = decay * h + weight * u_t[..., None]
        outputs.append(2 * (C * h).sum(-1).real)
    return torch.stack(outputs, 1)


def check_s4d(length=4096):
    torch.manual_seed(0)
    mixer = s4d.S4DMixer(mamba1.Shape(18, 32, 2), mamba1_ops.Ops("plain"))
    u = torch.randn(2, length, 64)
    with torch.no_grad():
        want = s4d_recurrence(mixer, u)
        got = mixer.convolution(u)
        expect("S4D: convolution against recurrence", ((got - want).abs().max() / want.abs().max()).item(), 1e-4)
        state, parts = torch.zeros(2, 16, 64), []
        for part in u.split([1000, 1, 2000, length - 3001], 1):
            added, state = mixer.carried(part, state)
            parts.append(mixer.convolution(part) + added)
        got = torch.cat(parts, 1)
        expect("S4D: in pieces against recurrence", ((got - want).abs().max() / want.abs().max()).item(), 1e-4)


def answer(task, ids):
    """Solves a sequence by looking."""
    if isinstance(task, recall_tasks.Induction):
        return [ids[ids.index(task.special_id) + 1]]
    assert ids[-task.answers:] == [task.marker_id] * task.answers
    return [i for i in ids if i < task.symbols]


def check_tasks():
    for name, task in recall_tasks.TASKS.items():
        for length in (32, 48, 300):
            ids, targets = task.batch(200, length, torch.Generator().manual_seed(length))
            assert ids.shape == (200, length) and targets.shape == (200, task.answers)
            assert [answer(task, row) for row in ids.tolist()] == targets.tolist(), name
            again = task.batch(200, length, torch.Generator().manual_seed(length))
            assert torch.equal(ids, again[0]), name
    print("tasks: every answer can be read off its sequence")


def check_evaluation():
    """Blocks with the state carried give the answers of the whole sequence."""
    torch.manual_seed(0)
    task = recall_tasks.TASKS["copying"]
    for kind in (mamba1.Mamba1, s4d.S4D):
        model = kind(mamba1.Shape(task.vocab_size, 32, 2), mamba1_ops.Ops("plain")).eval()
        whole = recall_eval.accuracy(model, task, 80, 40, torch.Generator().manual_seed(3))
        recall_eval.BLOCK_TOKENS, kept = 40 * 32, recall_eval.BLOCK_TOKENS
        blocks = recall_eval.accuracy(model, task, 80, 40, torch.Generator().manual_seed(3))
        recall_eval.BLOCK_TOKENS = kept
        expect(f"evaluation in blocks, {kind.__name__}", abs(whole - blocks), 0.0)


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    check_tasks()
    check_scans()
    check_s4d()
    check_evaluation()
    print("all checks passed")


if __name__ == "__main__":
    main()
