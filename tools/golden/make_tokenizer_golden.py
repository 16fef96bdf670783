#!/usr/bin/env python3
"""Golden files for the tokenizer tests, made with the Hugging Face `tokenizers` library.

    make_tokenizer_golden.py --tokenizer .../gpt-neox-20b/tokenizer.json
        writes everything under tests/golden/tokenizer
    make_tokenizer_golden.py --tokenizer FILE --out FILE --count 20000 --seed 7
        writes many cases for one tokenizer into one file; run them with
        KRAIT_TOKENIZER_GOLDEN=FILE test_tokenizer --gtest_filter='*GoldenFile*'

The committed files were made with tokenizers 0.23.3 and the seeds below.
"""
import argparse
import copy
import json
import pathlib

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import tokenizer_kinds
import tokenizer_strings

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "tokenizer"


def case_of(tokenizer, text, options):
    """[text, ids], and what the ids decode to where that is not the text."""
    tokenizer.encode_special_tokens = not options.get("parse_special_tokens", True)
    ids = tokenizer.encode(text, add_special_tokens=options.get("add_special_tokens", True)).ids
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    return [text, ids] if decoded == text else [text, ids, decoded]


def write(path, document, items_key):
    """JSON with one case a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {k: v for k, v in document.items() if k != items_key}
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    lines = ",\n".join(dump(item) for item in document[items_key])
    path.write_text(dump(head)[:-1] + f',"{items_key}":[\n{lines}\n]}}\n', encoding="utf-8")
    print(path, path.stat().st_size, "bytes,", len(document[items_key]), items_key)


def write_cases(tokenizer, strings, seed, path):
    cases = [case_of(tokenizer, text, {}) for text in strings]
    write(path, {"tokenizers": tokenizers.__version__, "seed": seed, "cases": cases}, "cases")


def small_tokenizer():
    """A byte-level BPE of a few hundred tokens, trained on strings of the generator itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=900, show_progress=False, min_frequency=2,
                                  special_tokens=["<|endoftext|>", "<|padding|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(tokenizer_strings.make(4000, seed=1), trainer)
    tokenizer.add_tokens([tokenizers.AddedToken(" " * n, normalized=True) for n in (8, 4, 3, 2)])
    return json.loads(tokenizer.to_str())


def variants(small):
    """Merge patches (RFC 7396) of the small tokenizer, each with texts that they matter for."""
    added = tokenizer_kinds.added
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    end, pad = small["added_tokens"][:2]
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    eos = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    template = {"type": "TemplateProcessing", "single": [bos, text, eos],
                "pair": [bos, text, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0, 1], "tokens": ["a", "b"]},
                                   "</s>": {"id": "</s>", "ids": [1], "tokens": ["b"]}}}
    digits = lambda individual: dict.fromkeys(byte_level) | {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": individual}, byte_level]}
    plain = ["", " ", "a", " a", "It's  4 o'clock, don't DON'T!", "\n\n  x", "\u00a0x\u3000y\u0085",
             "a<|endoftext|>b", " <|padding|> ", "caf\u00e9 cafe\u0301", "12\u00b2\u00bd\u0663 a1b22 333"]
    unicode = plain + ["\ufb01 \u00a0\u2460\u212b\u2126 \uac01\u1100\u1161\u11a8", "a\u0315\u0300\u05ae\u0062",
                       "\u1e9b\u0323", "\u0958\u2adc\ufdfa", "\U0001d15e \U0002f800", "\u0344\u0390"]
    strip = [added(900, "<m>", lstrip=True, rstrip=True), added(901, "<l>", lstrip=True),
             added(902, "<r>", rstrip=True), added(903, "foo", single_word=True),
             added(904, "fo"), added(905, "  "), added(906, "\n", rstrip=True, lstrip=True),
             added(907, "<m>>", special=True)]
    strips = ["a <m> b", "a  <m>  <m>b", "<l>  <l> x", "<r>  <r> x <r>", "<r>   y", "a\u3000<m>\u2028\u0085b",
              "a\u180e<m>\u200bb\x1c<m>\x1f", "foo", "foo foo-foo", "afoo", "foo_", "foo\u200d", "foo\u0301",
              "\u0301foo", "fofoo", "foofoo", "x\n\n \n y\n", "<m>> <m>>>", " <m", "\u2160foo\u00b2foo\u0903foo"]
    forms = [added(900, "e\u0301x", normalized=True), added(901, "e\u0301y"),
             added(902, "\u00e9z", normalized=True), added(903, "\u00e9z\u0323", normalized=True, special=True)]
    formed = ["e\u0301x", "\u00e9x", "e\u0301y", "\u00e9y", "e\u0301xe\u0301y\u0301", "e\u0301z", "\u00e9z\u0323", "ez\u0301"]
    odd_words = {"\u0120wordless": 900, "ab": 901, "\u0120\u0120x": 902, "'s": 903}
    flags = [added(0, "<|endoftext|>", special=True), added(900, "<|endoftext", special=False)]
    return [
        ("no normalizer", {"normalizer": None}, unicode, {}),
        ("NFD", {"normalizer": {"type": "NFD"}}, unicode, {}),
        ("NFKC", {"normalizer": {"type": "NFKC"}}, unicode, {}),
        ("NFKD", {"normalizer": {"type": "NFKD"}}, unicode, {}),
        ("normalizer sequence", {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFKD"}, {"type": "NFC"}]}}, unicode, {}),
        ("prefix space", {"pre_tokenizer": byte_level | {"add_prefix_space": True}}, plain + ["\tx"], {}),
        ("no regex", {"pre_tokenizer": byte_level | {"use_regex": False}}, plain, {}),
        ("digits", {"pre_tokenizer": digits(False)}, plain, {}),
        ("individual digits", {"pre_tokenizer": digits(True)}, plain, {}),
        ("template", {"post_processor": template}, plain, {}),
        ("template in a sequence", {"post_processor": {"type": "Sequence", "processors": [
            byte_level, template]}}, plain, {}),
        ("template without special tokens", {"post_processor": template}, plain,
         {"add_special_tokens": False}),
        ("special tokens as text", {}, plain, {"parse_special_tokens": False}),
        ("special tokens as text beside a token", {"added_tokens": flags},
         ["a<|endoftext|>b", "<|endoftextx", "<|endoftext"], {"parse_special_tokens": False}),
        ("stripping tokens", {"added_tokens": [end, pad] + strip}, strips, {}),
        ("tokens in normal forms", {"added_tokens": [end, pad] + forms}, formed, {}),
        ("whole words", {"added_tokens": [end, pad], "model": {"ignore_merges": True, "vocab": odd_words}},
         plain + [" wordless", "ab", "abc", "   x", "it's"], {}),
        ("words that no merge makes", {"added_tokens": [end, pad], "model": {"vocab": odd_words}},
         [" wordless", "ab", "abc", "   x", "it's"], {}),
    ]


def merge_patch(target, patch):
    if not isinstance(patch, dict):
        return patch
    target = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patch(target.get(key), value)
    return target


def write_variants(base, variants_of_base, path):
    items = []
    for name, patch, texts, options in variants_of_base:
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(copy.deepcopy(base), patch)))
        strings = texts + tokenizer_strings.make(12, seed=len(items))
        cases = [case_of(tokenizer, text, options) for text in strings]
        items.append({"name": name, "patch": patch, "options": options, "cases": cases})
    write(path, {"tokenizers": tokenizers.__version__, "variants": items}, "variants")


def write_kind(document, variants_of_kind, folder, seed):
    """A tokenizer, cases for it and for its variants."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(
        json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    strings = tokenizer_strings.make(300, seed)
    write_cases(Tokenizer.from_str(json.dumps(document)), strings, seed, folder / "cases.json")
    write_variants(document, variants_of_kind, folder / "variants.json")


def ranges(codes):
    found = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def fnv1a(data, value):
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def write_characters(small, path):
    """What every character is to the splitter and to the matcher of single_word tokens, and a hash
    of every character's normal forms in several surroundings."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    punctuation = pre_tokenizers.Punctuation("isolated")
    pieces = lambda text: len(splitter.pre_tokenize_str(text))
    word = Tokenizer.from_str(json.dumps(small | {
        "added_tokens": small["added_tokens"][:2] + [tokenizer_kinds.added(900, "foo", single_word=True)]}))
    classes = {"letters": [], "numbers": [], "spaces": [], "word_characters": [],
               "punctuation": []}
    characters = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for code in characters:
        if pieces("a" + chr(code)) == 1:
            classes["letters"].append(code)
        elif pieces("1" + chr(code)) == 1:
            classes["numbers"].append(code)
        elif pieces("!" + chr(code)) == 2:
            classes["spaces"].append(code)
        if len(punctuation.pre_tokenize_str("aa" + chr(code) + "aa")) == 3:
            classes["punctuation"].append(code)
        if word.encode("foo" + chr(code)).ids[0] != 900:
            classes["word_characters"].append(code)
    hashes = {}
    nfd = normalizers.NFD()
    for name in ("NFC", "NFD", "NFKC", "NFKD"):
        form, value = getattr(normalizers, name)(), 0xCBF29CE484222325
        for code in characters:
            if tokenizer_strings.has_plain_form(code):
                continue
            c = chr(code)
            text = f"{c}.a\u0334{c}\u0334.a\u0345{c}\u0300\u0345\u0301{c}\u3099.a\u0315{c}\u0315.{c}\u0301." + \
                nfd.normalize_str(c)
            value = fnv1a(form.normalize_str(text).encode(), value)
        hashes[name] = f"{value:016x}"
    document = {"tokenizers": tokenizers.__version__, "normal_forms": hashes,
                "classes": [[name, ranges(codes)] for name, codes in classes.items()]}
    write(path, document, "classes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="the GPT-NeoX tokenizer.json, or with --out any")
    parser.add_argument("--out", type=pathlib.Path, help="one file of cases for --tokenizer")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_file(arguments.tokenizer)
    if arguments.out:
        strings = tokenizer_strings.make(arguments.count, arguments.seed)
        write_cases(tokenizer, strings, arguments.seed, arguments.out)
        return
    write_cases(tokenizer, tokenizer_strings.make(500, 2), 2, GOLDEN / "gpt-neox.json")
    small = small_tokenizer()
    write_kind(small, variants(small), GOLDEN / "small", 3)
    write_kind(tokenizer_kinds.wide(), tokenizer_kinds.wide_variants(), GOLDEN / "wide", 4)
    metaspace = tokenizer_kinds.metaspace()
    write_kind(metaspace, tokenizer_kinds.metaspace_variants(metaspace), GOLDEN / "metaspace", 5)
    write_characters(small, GOLDEN / "characters.json")


if __name__ == "__main__":
    main()
