#!/usr/bin/env python3
"""Makes what tests/tokenizer/sentencepiece_test.cpp compares with: two small models, trained on this
project's README, and cases over them and over Mistral's from the library's own Python package.

    pip install sentencepiece==0.1.99
    tools/golden/make_sentencepiece_golden.py --mistral .../tokenizer.model.v3
    tools/golden/make_sentencepiece_golden.py --model FILE --out cases.json --count 20000
"""
import argparse
import io
import json
import pathlib
import tempfile

import sentencepiece

import tokenizer_strings

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "tokenizer" / "sentencepiece"
USER_DEFINED = ["<doc>", "==", "\u2581\u2581\u2581"]
FIXED = ["", " ", "  ", "a", " a", "  a ", "a  b", "Hello world", "[INST] hi [/INST]", "<s>x</s>", "<unk>",
         "<0x41>", "\u2581", "\u2581a\u2581", "x<doc>y", "<doc>", "a===b", "\0", "a\0b", "\ufeffx", "\t\n", "\r\n",
         "\u00e9 e\u0301", "\u4e2d\u6587", "\U0001f600", "a\u00a0b", "\u3000", "[REFERENCE_DOC_3] x", "\ufffd"]


def train(rules, **options):
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write("".join("\t".join(" ".join(f"{ord(c):X}" for c in text) for text in rule) + "\n" for rule in rules))
        file.flush()
        if rules:
            options["normalization_rule_tsv"] = file.name
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter((ROOT / "README.md").read_text().splitlines()), model_writer=model,
            minloglevel=2, num_threads=1, hard_vocab_limit=False, **options)
    return model.getvalue()


def small_models():
    yield "bpe", train([], model_type="bpe", vocab_size=700, byte_fallback=True, normalization_rule_name="identity",
                       remove_extra_whitespaces=False, user_defined_symbols=USER_DEFINED,
                       control_symbols=["[INST]", "[/INST]"])
    rules = [("\u00e9", "e"), ("e\u0301", "e"), ("\u00a0", " "), ("\t", " "), ("\ufb01", "fi"), ("\u200b", "")]
    yield "unigram", train(rules, model_type="unigram", vocab_size=300, user_defined_symbols=USER_DEFINED[:2],
                           control_symbols=["[INST]"], unk_surface=" ? ")


def write_cases(model, strings, path):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    cases = []
    for text in strings:
        ids = processor.encode(text)
        cases.append([text, ids, processor.decode(ids)])
    document = {"sentencepiece": sentencepiece.__version__, "cases": cases}
    path.write_text(json.dumps(document, separators=(",", ":")).replace("],[\"", "],\n[\"") + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mistral", type=pathlib.Path, help="Mistral's tokenizer.model.v3")
    parser.add_argument("--model", type=pathlib.Path, help="with --out: any model")
    parser.add_argument("--out", type=pathlib.Path, help="one file of cases for --model")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.out:
        strings = FIXED + tokenizer_strings.make(arguments.count - len(FIXED), arguments.seed)
        write_cases(arguments.model.read_bytes(), strings, arguments.out)
        return
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, model in small_models():
        (GOLDEN / f"{name}.model").write_bytes(model)
        # Pieces of spaces at the start of a text of the unigram model, which removes spaces: the library's
        # Decode drops all of them, krait one. Only a U+2581 typed by the user leads to them.
        fixed = [text for text in FIXED if name == "bpe" or "\u2581" not in text]
        write_cases(model, fixed + tokenizer_strings.make(200, 5), GOLDEN / f"{name}.json")
    if arguments.mistral:
        write_cases(arguments.mistral.read_bytes(), FIXED + tokenizer_strings.make(300, 6), GOLDEN / "mistral-v3.json")


if __name__ == "__main__":
    main()
