"""Training batches: windows of text from the books and conversations, both or one of them.

Conversations grow harder with the level that training has reached: first one fact, asked for at
once; in the end six, between tales. Batch `index` depends on the seed, the index and the level only.
"""
import json
import multiprocessing
import pathlib

import numpy as np
import torch
from tokenizers import Tokenizer

from . import conversations, passages
from .conversations import Level

LEVELS = (
    Level(length=64, facts=1),
    Level(length=96, facts=2),
    Level(length=160, facts=4, between=0.2),
    Level(length=256, facts=3, tales=2, tale_tokens=40, between=0.2),
    Level(length=384, facts=3, tales=6, tale_tokens=40, between=0.2),
    Level(length=640, facts=4, tales=8, tale_tokens=80, between=0.2),
    Level(length=1536, facts=5, tales=12, tale_tokens=250, between=0.2),
)
EARLIER_SHARE = 0.3  # of batches: of a lower level than the one reached
EMPTY = torch.empty(0, 0, dtype=torch.int32)


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
        self.passages.names = passages.any_names(self.tokenizer)


class Batches(torch.utils.data.Dataset):
    def __init__(self, data, tokens, window, text_share, seed, count):
        self.data, self.tokens, self.window = data, tokens, window
        self.text_share, self.seed, self.count = text_share, seed, count
        self.level = multiprocessing.Value("i", 0, lock=False)  # read by the loading processes
        self.writer = None

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        """text (rows, window + 1); conversations (rows, length + 1), weights and what matters
        (rows, length), and their level. Either may have no rows."""
        rng = np.random.default_rng([self.seed, index])
        text = self._text(rng, int(self.tokens * self.text_share / self.window + rng.random()))
        if self.text_share >= 1:
            return text, EMPTY, EMPTY, EMPTY, 0
        level = self.level.value
        if level and rng.random() < EARLIER_SHARE:
            level = int(rng.integers(level))
        rows = max(1, round(self.tokens * (1 - self.text_share) / LEVELS[level].length))
        return text, *self._conversations(f"{self.seed} {index}", LEVELS[level], rows), level

    def _text(self, rng, rows):
        starts = rng.integers(len(self.data.train) - self.window, size=rows)
        windows = [self.data.train[s : s + self.window + 1].astype(np.int32) for s in starts]
        return torch.from_numpy(np.stack(windows)) if rows else EMPTY

    def _conversations(self, seed, level, rows):
        if self.writer is None:
            self.writer = passages.Writer(self.data.tokenizer)
        made = [conversations.random_conversation(f"{seed} {row}", self.data.passages, self.writer, level)
                for row in range(rows)]
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*made))


def loader(batches, first, workers, pin):
    indices = range(first, len(batches))
    options = {"prefetch_factor": 4, "persistent_workers": False} if workers else {}
    return torch.utils.data.DataLoader(batches, batch_size=None, sampler=indices, num_workers=workers,
                                       pin_memory=pin, **options)
