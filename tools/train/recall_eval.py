"""Accuracy of a recall model by length of the sequence, with the state carried over blocks."""
import time

import torch

BLOCK_TOKENS = 1 << 19  # of all sequences together, per block


def accuracy(model, task, length, count, generator):
    """The share of right answers over `count` random sequences of `length` tokens."""
    device = generator.device
    ids, targets = task.batch(count, length, generator, torch.uint8)
    block = max(16, min(4096, BLOCK_TOKENS // count // 16 * 16))
    # All answers lie in the last block, whose logits are kept.
    cuts = [*range(0, length - task.answers, block), length]
    was_training, state = model.training, model.initial_state(count, device)
    model.eval()
    with torch.no_grad():
        for begin, end in zip(cuts, cuts[1:]):
            logits, state = model(ids[:, begin:end].long(), state)
    model.train(was_training)
    right = logits[:, -task.answers:].argmax(-1) == targets
    return right.float().mean().item()


def by_length(model, task, lengths, count, seed, device, deadline=None, report=None):
    """{length: accuracy}; stops before `deadline` (time.monotonic) where the next length would
    take longer than is left."""
    results, took = {}, 0.0
    for length in lengths:
        # A length is at most twice its predecessor.
        if deadline is not None and time.monotonic() + 2.5 * took > deadline:
            break
        begun = time.monotonic()
        generator = torch.Generator(device).manual_seed(seed + length)
        results[length] = accuracy(model, task, length, count, generator)
        took = time.monotonic() - begun
        if report:
            report(f"length {length}: {results[length]:.2%} ({took:.1f} s)")
    return results
