"""Small tokenizers beside that of make_tokenizer_golden.py, as documents with their variants."""
import json

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

import tokenizer_strings

SPACE = "\u2581"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
          r"|\s*[\r\n]|\s+(?!\S)|\s+")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def training_texts(seed):
    """Strings in which the same few things meet often, numbers and punctuation too."""
    maker = tokenizer_strings.Maker(seed)
    kinds = [maker.make_words, maker.make_contractions, maker.make_code, maker.make_numbers, maker.make_run,
             maker.make_ascii]
    numbers = lambda: " ".join(str(maker.random.randrange(10 ** maker.count(5))) for _ in range(6)) + "\u00b2\u00bd.\n"
    return [maker.pick(kinds + [numbers])() for _ in range(4000)]


def added(ident, content, **flags):
    token = dict(id=ident, content=content, single_word=False, lstrip=False, rstrip=False,
                 normalized=False, special=False)
    return token | flags


def template(*ids):
    """A post-processor that puts these ids before the text."""
    text = {"Sequence": {"id": "A", "type_id": 0}}
    names = [f"<{i}>" for i in ids]
    begin = [{"SpecialToken": {"id": name, "type_id": 0}} for name in names]
    return {"type": "TemplateProcessing", "single": begin + [text], "pair": begin + [text],
            "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for i, name in zip(ids, names)}}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps), "add_prefix_space": None, "trim_offsets": None,
            "use_regex": None}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def wide():
    """A byte-level BPE whose merges cross every border, so that every cut of a pre-tokenizer shows."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=900, show_progress=False, min_frequency=2, max_token_length=8,
                                  special_tokens=["<|endoftext|>", "<|padding|>"],
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(training_texts(11), trainer)
    document = json.loads(tokenizer.to_str())
    document["decoder"] = dict(document["pre_tokenizer"])
    return document


def wide_variants():
    level = lambda regex: {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}
    regex = lambda text: {"Regex": text}
    punctuation = lambda behavior: {"type": "Punctuation", "behavior": behavior}
    digits = lambda individual: {"type": "Digits", "individual_digits": individual}
    thousands = split(regex("[0-9][0-9][0-9]"))
    falcon = sequence(punctuation("Contiguous"), level(True), digits(False), thousands)
    llama3 = sequence(split(regex(LLAMA3)), level(False))
    texts = ["", " ", "1", "12345678 x12 1,234.5", "!!?a!", "$5+<3>=^`|~_-", "\u061d\u166d\u2e43\u00a1\u3002",
             "a\u00b2\u00b3\u00bd1\u00e9 \u0663", "don't DON'T WE'LL it'\u017f", "\r\n\n x\r", "  \n  y", "a  b\u00a0\u3000c",
             " \t\n", "x==y;//z", "<|endoftext|>1<|padding|>"]
    cut = lambda pattern, behavior="Isolated", invert=False: \
        {"pre_tokenizer": sequence(split(pattern, behavior, invert), level(False))}
    items = [
        ("falcon", {"pre_tokenizer": falcon}, texts, {}),
        ("punctuation, each", {"pre_tokenizer": sequence(punctuation("Isolated"), level(False))}, texts, {}),
        ("digits behind the byte level", {"pre_tokenizer": sequence(level(False), digits(True))}, texts, {}),
        ("split behind the byte level",
         {"pre_tokenizer": sequence(level(False), split(regex("[\u00c2\u0120]+"), "MergedWithNext"))}, texts, {}),
        ("llama 3", {"pre_tokenizer": llama3, "model": {"ignore_merges": True}, "post_processor": template(0)},
         texts, {}),
        ("llama 3 without whole words", {"pre_tokenizer": llama3}, texts, {}),
        ("cl100k", cut(regex(CL100K)), texts, {}),
        ("gpt-2 as a split", cut(regex(GPT2)), texts, {}),
        ("literal", cut({"String": "e."}), texts + ["he.she.e", "e.e."], {}),
    ]
    for behavior in ("Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"):
        for invert in (False, True):
            items.append((f"split {behavior}{' inverted' * invert}", cut(regex("[aeiou ]"), behavior, invert),
                          ["aa", "xaax", "queue up", " ", "  a", "xyz", "the end", "a", "aeb bea"], {}))
    return items


def all_merges(vocab, ranks):
    """Every way to make a token of two, as conversions of sentencepiece models list them."""
    merges = []
    for text, rank in ranks.items():
        ways = [(text[:i], text[i:]) for i in range(1, len(text)) if text[:i] in vocab and text[i:] in vocab]
        merges += [(rank, len(a), len(b), [a, b]) for a, b in ways]
    return [merge[-1] for merge in sorted(merges)]


def metaspace():
    """BPE in the style of Llama: spaces as U+2581, bytes for characters without a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    trainer = trainers.BpeTrainer(vocab_size=800, show_progress=False, min_frequency=2, max_token_length=8,
                                  initial_alphabet=[SPACE])
    latin = lambda text: "".join(c for c in text if ord(c) < 0x250)  # the rest is to become bytes
    tokenizer.train_from_iterator(map(latin, training_texts(12)), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    ranks = {}
    for left, right in trained["merges"]:
        ranks.setdefault(left + right, len(ranks))
    characters = [text for text in trained["vocab"] if text not in ranks]
    texts = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + list(ranks) + characters
    vocab = {text: ident for ident, text in enumerate(texts)}
    replace = lambda a, b: {"type": "Replace", "pattern": {"String": a}, "content": b}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(i, texts[i], special=True) for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": SPACE}, replace(" ", SPACE)]},
        "pre_tokenizer": None,
        "post_processor": template(1),
        "decoder": {"type": "Sequence", "decoders": [
            replace(SPACE, " "), {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocab, "merges": all_merges(vocab, ranks)}}


def metaspace_variants(base):
    size = len(base["model"]["vocab"])
    spaces = lambda **options: {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": SPACE} | options}
    without = lambda *texts: {text: None for text in texts}
    no_bytes = {"model": {"byte_fallback": False}}
    texts = ["", " ", "  ", "   x", "a", " a", "a b", "a  b ", "<s>a", "<s> a</s>b", " <s>", "a<unk>b", SPACE, SPACE + "a",
             "a" + SPACE + "b", "<0x41>", "\u3042\u4e2d", "\u00e9\U0001f600\u0950x", "a\n\n b\t", "it's  4 o'clock"]
    unknown = ["\u3042", "\u3042\u4e2d", "a\u3042\u4e2db\u3042 \u4e2d", "x\U0001f600\u3042y", "\u0950\u3042\u0950", "\u3042\u0950a"]
    plus = base["added_tokens"] + [
        added(size, "<m>", lstrip=True, rstrip=True), added(size + 1, "foo", single_word=True),
        added(size + 2, "two words", normalized=True), added(size + 3, "bar", normalized=True),
        added(size + 4, SPACE + "\u2602"), added(size + 5, "\u2603")]
    around = ["a <m> b", "foo", " foo", "afoo foo", "two words", " two words", "a two words", "bar", " bar", "bar bar",
              "<s>bar", "a" + SPACE + "\u2602", " \u2602", "\u2603a \u2603", "foobar"]
    return [
        ("metaspace first", spaces(prepend_scheme="first", split=False), texts, {}),
        ("metaspace first, split", spaces(prepend_scheme="first", split=True), texts, {}),
        ("metaspace always", spaces(prepend_scheme="always", split=False), texts, {}),
        ("metaspace always, split", spaces(prepend_scheme="always"), texts, {}),
        ("metaspace never", spaces(prepend_scheme="never", split=False), texts, {}),
        ("metaspace of early files", spaces(add_prefix_space=True), texts, {}),
        ("no prefix and no strip", {"normalizer": base["normalizer"]["normalizers"][1] | {"normalizers": None},
                                    "decoder": {"decoders": base["decoder"]["decoders"][:3]}}, texts, {}),
        ("no special tokens", {}, texts, {"add_special_tokens": False}),
        ("special tokens as text", {}, texts, {"parse_special_tokens": False}),
        ("unknown, fused", spaces(prepend_scheme="first") | no_bytes, texts + unknown, {}),
        ("unknown, each", spaces(prepend_scheme="first") | {"model": {"byte_fallback": False, "fuse_unk": False}},
         texts + unknown, {}),
        ("nothing for the unknown", spaces(prepend_scheme="first") | {
            "model": {"byte_fallback": False, "unk_token": None}}, texts + unknown, {}),
        ("some bytes are missing", {"model": {"vocab": without("<0xE3>")}}, texts + unknown, {}),
        ("some bytes are missing, each", {"model": {"fuse_unk": False, "vocab": without("<0xE3>")}},
         texts + unknown, {}),
        ("whole words", spaces(prepend_scheme="first") | {
            "model": {"ignore_merges": True, "vocab": {SPACE + "wordless": size, "\u2603": size + 1}}},
         texts + [" wordless", "a wordless \u2603"], {}),
        ("added tokens", {"added_tokens": plus}, around, {}),
        ("added tokens, metaspace", {"added_tokens": plus} | spaces(prepend_scheme="first", split=False), around, {}),
        ("added tokens, metaspace always", {"added_tokens": plus} | spaces(prepend_scheme="always", split=True), around,
         {}),
    ]
