"""The text side of training: books -> documents -> byte-level BPE -> token streams."""
import dataclasses
import pathlib
import re

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
HELD_OUT_SHARE = 0.03  # of every book, from its end
MIN_DOCUMENT_CHARS = 1500
MAX_HEADING_CHARS = 90


@dataclasses.dataclass
class Corpus:
    """Documents are lists per split; `books` are the file names without suffix."""

    books: list
    train: list
    held_out: list


def paragraphs_of(text):
    """Paragraphs without the table of contents (its heading and the block after it) and
    without the scholarly notes at the end of some collections."""
    paragraphs = [p.strip() for p in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if p.strip()]
    for i in range(len(paragraphs) // 2, len(paragraphs)):
        if paragraphs[i].upper().startswith("NOTES AND REFERENCES"):
            paragraphs = paragraphs[:i]
            break
    kept, skip_next = [], False
    for paragraph in paragraphs:
        if paragraph.upper() in ("CONTENTS", "CONTENTS."):
            skip_next = True
        elif skip_next:
            skip_next = False
        elif paragraph.upper().strip(" .") not in ("THE END", "FINIS"):
            kept.append(paragraph)
    return kept


def is_heading(paragraph):
    letters = [c for c in paragraph if c.isalpha()]
    return len(letters) >= 4 and len(paragraph) <= MAX_HEADING_CHARS and all(c.isupper() for c in letters)


def split_documents(paragraphs):
    """Starts a document at every heading (a tale or chapter title in capitals), so that
    the end-of-text token learns to follow the end of a story."""
    documents, current = [], []
    for paragraph in paragraphs:
        if is_heading(paragraph) and sum(map(len, current)) >= MIN_DOCUMENT_CHARS:
            documents.append("\n\n".join(current))
            current = []
        current.append(paragraph)
    if current:
        documents.append("\n\n".join(current))
    return documents


def read_corpus(folder):
    files = sorted(pathlib.Path(folder).glob("*.txt"))
    if not files:
        raise SystemExit(f"--data {folder}: no .txt files found")
    corpus = Corpus([], [], [])
    for file in files:
        paragraphs = paragraphs_of(file.read_text(encoding="utf-8-sig"))
        budget = HELD_OUT_SHARE * sum(map(len, paragraphs))
        cut = len(paragraphs)
        while budget > 0 and cut > 1:
            cut -= 1
            budget -= len(paragraphs[cut])
        corpus.books.append(file.stem)
        corpus.train += split_documents(paragraphs[:cut])
        corpus.held_out += split_documents(paragraphs[cut:])
    return corpus


def train_tokenizer(documents, vocab_size):
    """Byte-level BPE laid out as GPT-NeoX's tokenizer.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(END_OF_TEXT, special=True, normalized=False)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    if tokenizer.token_to_id(END_OF_TEXT) != END_OF_TEXT_ID or tokenizer.get_vocab_size() != vocab_size:
        raise SystemExit("the trained vocabulary is not what was asked for; is there enough text?")
    return tokenizer


def encode_documents(tokenizer, documents):
    """One uint16 array per document, each ended by the end-of-text token."""
    return [np.array(e.ids + [END_OF_TEXT_ID], dtype=np.uint16) for e in tokenizer.encode_batch(documents)]


class TokenStreams:
    """Deals one epoch of shuffled documents to `batch` parallel streams.

    A stream's windows follow each other in the text, so the model's state can be carried
    from one window to the next. Window `step` depends on the seed and the step only.
    """

    def __init__(self, documents, batch, length, seed):
        self.documents, self.batch, self.length, self.seed = documents, batch, length, seed
        total = sum(map(len, documents))
        self.steps_per_epoch = (total - 1) // (batch * length)
        self.tokens_per_epoch = total
        self.epoch, self.tokens = None, None

    def window(self, step):
        """ids and targets, both (batch, length)."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.documents))
            self.tokens = np.concatenate([self.documents[i] for i in order]).astype(np.int64)
            self.epoch = epoch
        starts = np.arange(self.batch) * self.steps_per_epoch * self.length + index * self.length
        rows = np.stack([self.tokens[s : s + self.length + 1] for s in starts])
        return rows[:, :-1], rows[:, 1:]
