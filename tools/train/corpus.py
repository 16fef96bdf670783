"""The text side of training: books -> documents -> byte-level BPE -> token streams."""
import dataclasses
import pathlib
import re

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
ROLES = {role: f"<|{role}|>" for role in ("user", "assistant", "system")}  # begin a turn
END_OF_TURN = "<|end|>"
TURN_MARKERS = [*ROLES.values(), END_OF_TURN]
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
        vocab_size=vocab_size - len(TURN_MARKERS),
        special_tokens=[special(END_OF_TEXT)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    add_turn_markers(tokenizer)
    if tokenizer.token_to_id(END_OF_TEXT) != END_OF_TEXT_ID or tokenizer.get_vocab_size() != vocab_size:
        raise SystemExit("the trained vocabulary is not what was asked for; is there enough text?")
    return tokenizer


def special(token):
    return AddedToken(token, special=True, normalized=False)


def add_turn_markers(tokenizer):
    """After all other tokens, so that text keeps its ids."""
    tokenizer.add_special_tokens([special(t) for t in TURN_MARKERS])


def end_ids(tokenizer):
    """Tokens that end an answer."""
    return [END_OF_TEXT_ID, tokenizer.token_to_id(END_OF_TURN)]


def encode_documents(tokenizer, documents):
    """All tokens, each document ended by the end-of-text token, and where paragraphs begin."""
    line_end = tokenizer.encode("\n").ids
    if len(line_end) != 1:
        raise SystemExit("the tokenizer has no token for the end of a line")
    tokens, starts = [], []
    for document in documents:
        for i, encoded in enumerate(tokenizer.encode_batch(document.split("\n\n"))):
            tokens += line_end * 2 if i else []
            starts.append(len(tokens))
            tokens += encoded.ids
        tokens.append(END_OF_TEXT_ID)
    return np.array(tokens, np.uint16), np.array(starts, np.int32)
