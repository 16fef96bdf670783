"""How well a model predicts the text that was held out."""
import math

import numpy as np
import torch

EVAL_WINDOW = 1024


def held_out_loss(model, data, device):
    """Mean loss in windows that each start from an empty state, and the bits per byte."""
    tokens = torch.from_numpy(data.held_out.astype(np.int64))
    count = len(tokens) - 1
    whole = count // EVAL_WINDOW
    ids, targets = (tokens[i : i + whole * EVAL_WINDOW].view(whole, -1) for i in (0, 1))
    pairs = [(ids[i : i + 32], targets[i : i + 32]) for i in range(0, whole, 32)]
    pairs.append((tokens[None, whole * EVAL_WINDOW : -1], tokens[None, whole * EVAL_WINDOW + 1 :]))
    total = 0.0
    with torch.no_grad():
        for ids, targets in pairs:
            weights = torch.ones(targets.shape, device=device)
            total += model.loss(ids.to(device), targets.to(device), weights)[0].item()
    return total / count, total / data.facts["held_out_bytes"] / math.log(2)
