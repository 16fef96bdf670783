#!/usr/bin/env python3
"""Prints the tables of src/tokenizer/character_tables.cpp: where Hugging Face `tokenizers` knows more
or fewer characters than the PCRE2 and utf8proc libraries of this machine (which it calls).

The committed tables: tokenizers 0.23.3, PCRE2 10.42 (Unicode 14), utf8proc 2.8 (Unicode 15).
tests/golden/tokenizer/characters.json holds the result to every character.
"""
import ctypes

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
PCRE2_UTF, PCRE2_UCP = 0x00080000, 0x00020000
STABLE, COMPAT, COMPOSE, DECOMPOSE = 1 << 1, 1 << 2, 1 << 3, 1 << 4  # utf8proc options
FORMS = {"NFC": STABLE | COMPOSE, "NFD": STABLE | DECOMPOSE,
         "NFKC": STABLE | COMPOSE | COMPAT, "NFKD": STABLE | DECOMPOSE | COMPAT}

pcre2 = ctypes.CDLL("libpcre2-8.so.0")
pcre2.pcre2_compile_8.restype = pcre2.pcre2_match_data_create_8.restype = ctypes.c_void_p
utf8proc = ctypes.CDLL("libutf8proc.so.2")
utf8proc.utf8proc_map.restype = ctypes.c_ssize_t
libc = ctypes.CDLL(None)


def pcre2_class(inside):
    """The set of characters that [inside] matches."""
    pattern, error, offset = f"[{inside}]".encode(), ctypes.c_int(), ctypes.c_size_t()
    code = ctypes.c_void_p(pcre2.pcre2_compile_8(
        pattern, ctypes.c_size_t(len(pattern)), ctypes.c_uint32(PCRE2_UTF | PCRE2_UCP),
        ctypes.byref(error), ctypes.byref(offset), None))
    data = ctypes.c_void_p(pcre2.pcre2_match_data_create_8(1, None))
    matches = lambda text: pcre2.pcre2_match_8(code, text, ctypes.c_size_t(len(text)), ctypes.c_size_t(0),
                                               ctypes.c_uint32(0), data, None) > 0
    return {c for c in CHARACTERS if matches(chr(c).encode())}


def utf8proc_form(text, options):
    out, data = ctypes.c_void_p(), text.encode()
    size = utf8proc.utf8proc_map(data, ctypes.c_ssize_t(len(data)), ctypes.byref(out), ctypes.c_int(options))
    assert size >= 0, size
    result = ctypes.string_at(out, size).decode()
    libc.free(out)
    return result


def word_characters():
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_tokens([AddedToken("foo", single_word=True)])
    ident = tokenizer.token_to_id("foo")
    return {c for c in CHARACTERS if tokenizer.encode("foo" + chr(c)).ids[0] != ident}


def punctuation():
    splitter = pre_tokenizers.Punctuation("isolated")
    return {c for c in CHARACTERS if len(splitter.pre_tokenize_str(f"aa{chr(c)}aa")) == 3}


def unknown_to_normalizer():
    around = lambda c: (c, f"a\u0334{c}\u0334", f"a\u0345{c}\u0300\u0345\u0301{c}\u3099", f"a\u0315{c}\u0315")
    return {c for name, options in FORMS.items() for c in CHARACTERS for text in around(chr(c))
            if getattr(normalizers, name)().normalize_str(text) != utf8proc_form(text, options)}


def show(name, codes):
    ranges = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    lines = ["   "]
    for first, last in ranges:
        item = f" {{0x{first:X}, 0x{last:X}}},"
        if len(lines[-1] + item) > 98:
            lines.append("   ")
        lines[-1] += item
    print(f"constexpr Range {name}[] = {{", *lines, "};\n", sep="\n")


def main():
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    one_piece = lambda text: len(splitter.pre_tokenize_str(text)) == 1
    letters = {c for c in CHARACTERS if one_piece("a" + chr(c))}
    numbers = {c for c in CHARACTERS if one_piece("1" + chr(c))}
    show("kNewerLetters", letters - pcre2_class(r"\p{L}"))
    show("kNewerNumbers", numbers - pcre2_class(r"\p{N}"))
    show("kNewerWordCharacters",
         word_characters() - pcre2_class(r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}"))
    show("kNoPunctuation", pcre2_class(r"\p{P}") - punctuation())
    show("kUnknownToNormalizer", unknown_to_normalizer())


if __name__ == "__main__":
    main()
