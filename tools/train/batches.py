"""Training batches: rows of text from the books beside rows of conversations, of one length each.

Batch `index` depends on the seed, the index and the progress of training (0 to 1) only. Windows
grow with progress: facts are first recalled over short distances.
"""
import json
import multiprocessing
import pathlib

import numpy as np
import torch
from tokenizers import Tokenizer

from . import conversations, corpus, passages

# Until this progress: lengths and their shares. Long windows teach to keep facts for long.
LENGTHS = (
    (0.25, {512: 1.0}),
    (0.45, {512: 0.3, 1024: 0.7}),
    (0.62, {512: 0.1, 1024: 0.2, 2048: 0.7}),
    (0.80, {512: 0.1, 1024: 0.1, 2048: 0.2, 4096: 0.6}),
    (9.00, {1024: 0.2, 4096: 0.2, 8192: 0.3, 16384: 0.3}),
)
LONG = 4096  # windows longer than this come in batches of twice the tokens: few rows are noisy


class Data:
    """What prepare.py wrote."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.train = np.load(folder / "train.npy")
        self.held_out = np.load(folder / "held_out.npy")
        self.facts = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        self.passages = passages.Passages(self.train, np.load(folder / "starts.npy"), np.load(folder / "topics.npy"))
        self.passages.breaks = tuple(self.tokenizer.encode("\n").ids)


def pick_length(progress, rng, longest):
    shares = next(shares for until, shares in LENGTHS if progress < until)
    fitting = {n: s for n, s in shares.items() if n <= longest} or {longest: 1.0}
    total = sum(fitting.values())
    return int(rng.choice(list(fitting), p=[s / total for s in fitting.values()]))


class Batches(torch.utils.data.Dataset):
    def __init__(self, data, tokens, longest, chat_share, seed, count):
        self.data, self.tokens, self.longest = data, tokens, longest
        self.chat_share, self.seed, self.count = chat_share, seed, count
        self.progress = multiprocessing.Value("d", 0.0, lock=False)  # read by the loading processes
        self.writer = None

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        """ids and targets (rows, length) int32, weights (rows, length); weights sum to 1."""
        rng = np.random.default_rng([self.seed, index])
        if self.writer is None:
            self.writer = passages.Writer(self.data.tokenizer)
        length = pick_length(self.progress.value, rng, self.longest)
        rows = max(1, self.tokens * (2 if length > LONG else 1) // length)
        chats = int(rows * self.chat_share + rng.random())
        ids = np.empty((rows, length + 1), np.int32)
        weights = np.ones((rows, length), np.float32)
        for row in range(rows):
            if row < chats:
                seed = f"{self.seed} {index} {row}"
                tale_tokens = int(rng.choice((80, 150, 250, 400)))
                ids[row], weights[row] = conversations.random_conversation(
                    seed, self.data.passages, self.writer, length, tale_tokens)
                # Long windows have fewer answers to a token.
                heavy = weights[row] >= conversations.ANSWER_WEIGHT
                weights[row][heavy] *= max(1.0, (length / 1024) ** 0.5)
            else:
                start = rng.integers(len(self.data.train) - length)
                ids[row] = self.data.train[start : start + length + 1]
        weights /= weights.sum()
        return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in (ids[:, :-1], ids[:, 1:], weights))


def loader(batches, first, workers, pin):
    indices = range(first, len(batches))
    options = {"prefetch_factor": 4, "persistent_workers": False} if workers else {}
    return torch.utils.data.DataLoader(batches, batch_size=None, sampler=indices, num_workers=workers,
                                       pin_memory=pin, **options)
