#!/usr/bin/env python3
"""Checks what train_demos.py trains with: scans, S4D's two forms, tasks, evaluation. Exits
non-zero on the first disagreement. With TRITON_INTERPRET=1 the Triton kernels run on the CPU."""
import argparse
import os
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from train import device_ops, dilation, mamba1, mamba1_ops, parallel_scan, recall_eval, recall_tasks, recall_trainer, s4d


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
    from train import scan_triton

    return scan_triton.selective_scan


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


class Oracle(torch.nn.Module):
    """Keeps all that it has read as its state and answers by looking."""

    def __init__(self, task, length):
        super().__init__()
        self.task, self.length = task, length

    def initial_state(self, count, device):
        return torch.zeros(count, 0, dtype=torch.int64, device=device)

    def forward(self, ids, state):
        state = torch.cat([state, ids], 1)
        logits = torch.zeros(*ids.shape, self.task.vocab_size)
        if state.shape[1] == self.length:
            answers = torch.tensor([answer(self.task, row) for row in state.tolist()])
            logits[:, -answers.shape[1]:].scatter_(2, answers[..., None], 1.0)
        return logits, state


def check_evaluation():
    """A model that remembers everything is right everywhere, also where blocks end oddly."""
    kept = recall_eval.BLOCK_TOKENS
    recall_eval.BLOCK_TOKENS = 40 * 32
    for name, task in recall_tasks.TASKS.items():
        for length in (64, 70, 80):
            got = recall_eval.accuracy(Oracle(task, length), task, length, 40, torch.Generator().manual_seed(3))
            expect(f"evaluation in blocks, {name} of {length}", 1.0 - got, 0.0)
    recall_eval.BLOCK_TOKENS = kept


def small_job(kind):
    task = recall_tasks.TASKS["induction"]
    return recall_trainer.Job("small", "induction", kind, task, mamba1.Shape(task.vocab_size, 32, 1), (16, 64), 2, 128,
                              1e-3, solved=0.0, dilated=0.5)


def check_resume():
    """Steps after a restored checkpoint give the weights of an undisturbed run, bit for bit."""
    recall_trainer.WINDOW, kept = 4, recall_trainer.WINDOW
    for kind in recall_trainer.KINDS:
        trainers = [recall_trainer.Trainer(small_job(kind), mamba1_ops.Ops("plain"), "cpu", 1) for _ in range(2)]
        whole, part = trainers
        for step in range(12):
            whole.advance(1, step / 12)
        for step in range(12):
            if step == 6:
                content = part.content()
                part = recall_trainer.Trainer(small_job(kind), mamba1_ops.Ops("plain"), "cpu", 2)
                part.restore(content)
            part.advance(1, step / 12)
        wanted = whole.model.state_dict()
        same = all(torch.equal(t, wanted[k]) for k, t in part.model.state_dict().items())
        expect(f"resumed training, {kind}", 0.0 if same else 1.0, 0.0)
    recall_trainer.WINDOW = kept


def check_dilation():
    """A dt multiplied by 3 is a token read three times, up to the square of a small dt."""
    torch.manual_seed(0)
    ops = dilation.DilatedOps(mamba1_ops.Ops("plain"))
    u, dt_raw, z, B, C = (torch.randn(1, 1, n, dtype=torch.float64) for n in (8, 8, 8, 4, 4))
    A, D, bias = -torch.rand(4, 8, dtype=torch.float64), torch.zeros(8), torch.full((8,), -12.0)
    h0 = torch.randn(1, 4, 8, dtype=torch.float64)
    thrice = [t.expand(1, 3, -1) for t in (u, dt_raw, z, B, C)]
    want = ops.selective_scan(*thrice, A, D, bias, h0)[1]
    with ops.dilated(torch.full((1, 1), 3.0, dtype=torch.float64)):
        got = ops.selective_scan(u, dt_raw, z, B, C, A, D, bias, h0)[1]
    expect("dilation: one step of 3 dt against three", ((got - want).norm() / (want - h0).norm()).item(), 1e-4)
    landmarks = torch.zeros(64, 64, dtype=torch.bool)
    landmarks[:, 20] = True
    r = dilation.factors(landmarks, 1.0, 1 << 20, torch.Generator().manual_seed(1))
    assert (r[:, 20:28] == 1).all() and (r[:, :20] > 1).all() and (r[:, 28:] == r[:, :1]).all()
    assert r.max() <= (1 << 20) / 64 and r.max() > 1000


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    check_tasks()
    check_scans()
    check_s4d()
    check_evaluation()
    check_dilation()
    check_resume()
    print("all checks passed")


if __name__ == "__main__":
    main()
