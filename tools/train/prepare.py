#!/usr/bin/env python3
"""Makes the training data once: tokenizer and token arrays from a folder of .txt books.

  prepare.py --data books/ --out data/

Writes tokenizer.json, train.npy and held_out.npy (tokens), starts.npy (where paragraphs begin in
train.npy), topics.npy (pairs of paragraph and topic) and corpus.json (what the model card says).
"""
import argparse
import json
import pathlib
import re
import sys

import numpy as np
from tokenizers import Tokenizer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import corpus, passages


def topics_of(documents):
    """Pairs (paragraph, topic) for the first words of a paragraph, as numbers."""
    number = {word: i for i, word in enumerate(passages.TOPICS)}
    pairs, at = [], 0
    for document in documents:
        for paragraph in document.split("\n\n"):
            words = set(re.findall(r"[a-z-]+", paragraph[:400].lower()))
            pairs += [(at, number[w]) for w in sorted(words & number.keys())]
            at += 1
    return np.array(pairs, np.int32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of .txt books")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--tokenizer", help="tokenizer.json to keep; the turn markers it lacks are added")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    books = corpus.read_corpus(args.data)
    if args.tokenizer:
        tokenizer = Tokenizer.from_file(args.tokenizer)
        corpus.add_turn_markers(tokenizer)
    else:
        tokenizer = corpus.train_tokenizer(books.train, args.vocab_size)
    tokenizer.save(str(args.out / "tokenizer.json"))
    train, starts = corpus.encode_documents(tokenizer, books.train)
    held_out, _ = corpus.encode_documents(tokenizer, books.held_out)
    topics = topics_of(books.train)
    for name, array in (("train", train), ("held_out", held_out), ("starts", starts), ("topics", topics)):
        np.save(args.out / f"{name}.npy", array)
    facts = {
        "books": books.books,
        "train_documents": len(books.train),
        "train_bytes": sum(len(d.encode()) for d in books.train),
        "train_tokens": len(train),
        "held_out_bytes": sum(len(d.encode()) for d in books.held_out),
    }
    (args.out / "corpus.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"{len(train):,} tokens, {len(starts):,} paragraphs, {len(topics):,} topics; {len(held_out):,} held out")


if __name__ == "__main__":
    main()
