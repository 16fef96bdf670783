"""Strings that are hard on tokenizers, from a seed."""
import random
import sys
import unicodedata

WORDS = """the of and to in is was that he it with as his on be at by had not are but from or have an
they which one you were all her she there would their we him been has when who will no more if out so
said what up its about into than them can only other time new some could these two may first then do
once upon a king daughter forest little old woman wolf castle gold bread river stone night morning
understanding internationalisation straightforward Mississippi antidisestablishmentarianism
Hello World HTTP JSON NASA iPhone eBay McDonald O'Brien naïve café façade coöperate Ångström""".split()
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ll", "'", "''", "\u2019s",
                "'s's", "''s", "'sx", " 's", "'llama", "'d've", "n't", "'\u017f"]
ADDED = ["<|endoftext|>", "<|padding|>", "<|endoftext|", "|endoftext|>", "<|endoftext|><|endoftext|>",
         "<|", "|>", "<|PADDING|>", "<|end of text|>", "[PAD50277]", "<s>"]
SPACES = ["\t", "\n", "\r", "\r\n", "\x0b", "\x0c", " ", "\x85", "\xa0", "\u1680", "\u2000", "\u2003", "\u2007",
          "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u180e", "\u200b", "\ufeff", "\x1c", "\x1d",
          "\x1e", "\x1f"]
CODE = ["def f(x):\n    return x ** 2  # square\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n",
        "if (a != b && c >= d) { x->y = z::w<T>{}; }", "{\"key\": [1, 2.5e-3, null], \"k\\u00e9y\": \"v\"}",
        "<div class=\"a b\">&nbsp;</div>\r\n", "SELECT * FROM t WHERE a='b''c';", "printf(\"%5.2f\\n\", x);",
        "    @decorator\n        async def g(): ...\n", "\\frac{1}{2}\\sum_{i=0}^{n}", "a=0x1F; b=0b1010; c=1_000",
        "https://example.org/a?b=c&d=%20#e", "#include <stdio.h>\n\n\n", "~/.config/x.toml", "$HOME|grep -v '^#'"]
EMOJI = [(0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF), (0x1FA70, 0x1FAFF), (0x2600, 0x27BF)]
# Characters that Unicode gained in versions 10 to 16, where tables of libraries differ most.
RECENT = [(0x7FD, 0x7FF), (0x870, 0x8FF), (0x9FC, 0x9FE), (0xC3C, 0xC3C), (0xCF3, 0xCF3), (0xD3B, 0xD3C),
          (0xEBA, 0xECE), (0x1715, 0x1715), (0x1ABF, 0x1ACE), (0x1C80, 0x1C8A), (0x1DF6, 0x1DFA),
          (0xA7C0, 0xA7F4), (0x10570, 0x105F3), (0x10780, 0x107BA), (0x10D24, 0x10D8F), (0x10EA9, 0x10EFF),
          (0x10F30, 0x10F8F), (0x11070, 0x11075), (0x1123F, 0x11241), (0x1133B, 0x1133B), (0x11380, 0x113E2),
          (0x1145E, 0x1145F), (0x11839, 0x1183A), (0x11900, 0x11959), (0x119A0, 0x119E4), (0x11A34, 0x11A99),
          (0x11BC0, 0x11BF9), (0x11D42, 0x11D97), (0x11F00, 0x11F5A), (0x13430, 0x13460), (0x16100, 0x16139),
          (0x16D40, 0x16D79), (0x16FF0, 0x16FF1), (0x18CFF, 0x18D08), (0x1B120, 0x1B155), (0x1CCF0, 0x1CCF9),
          (0x1D2C0, 0x1D2D3), (0x1DF00, 0x1DF2A), (0x1E030, 0x1E08F), (0x1E130, 0x1E2FF), (0x1E4D0, 0x1E5FF),
          (0x1FBF0, 0x1FBF9), (0x2A6D7, 0x2A6DF), (0x2B739, 0x2B739), (0x2EBF0, 0x2EE5D), (0x30000, 0x323AF)]
NOT_RECOMPOSED = [(0x958, 0x95F), (0x9DC, 0x9DF), (0xA33, 0xA5E), (0xB5C, 0xB5D), (0xF43, 0xFB9), (0x2ADC, 0x2ADC),
                  (0xF900, 0xFAD9), (0xFB1D, 0xFB4E), (0x1D15E, 0x1D1C0), (0x2F800, 0x2FA1D), (0x340, 0x344),
                  (0x1F71, 0x1FFD), (0x2126, 0x212B), (0x2000, 0x2001), (0xFB00, 0xFB06), (0xFF01, 0xFFDC)]


def is_character(code):
    return not 0xD800 <= code < 0xE000


def has_plain_form(code):
    """Characters that no normal form touches and nothing composes with, in large blocks."""
    return 0x3400 <= code < 0xA000 or 0xE000 <= code < 0xF900 or 0x17000 <= code < 0x18D00 or \
        0x20000 <= code < 0x2F800 or code >= 0x30000


CATEGORIES = {}
for _code in filter(is_character, range(sys.maxunicode + 1)):
    CATEGORIES.setdefault(unicodedata.category(chr(_code))[0], []).append(chr(_code))
    if unicodedata.category(chr(_code)) in ("Nd", "Nl", "No"):
        CATEGORIES.setdefault("number", []).append(chr(_code))
ASSIGNED = sorted(c for key in "LMNPSZ" for c in CATEGORIES[key])


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kinds = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("make_")]

    def pick(self, items):
        return items[self.random.randrange(len(items))]

    def count(self, most):
        return self.random.randint(1, most)

    def many(self, make, most):
        return "".join(make() for _ in range(self.count(most)))

    def from_ranges(self, table):
        first, last = self.pick(table)
        return chr(self.random.randint(first, last))

    def make_words(self):
        return " ".join(self.pick(WORDS) for _ in range(self.count(15))) + self.pick(["", ".", "!", "?\n", " "])

    def make_contractions(self):
        return self.many(lambda: self.pick(WORDS) + self.pick(CONTRACTIONS) + self.pick(["", " "]), 6)

    def make_script(self):
        start = self.random.randrange(len(ASSIGNED))  # neighbours: mostly of one script
        near = ASSIGNED[start:start + 80]
        return self.many(lambda: self.many(lambda: self.pick(near), 8) + self.pick(["", " ", " ", "\n"]), 6)

    def make_any_assigned(self):
        return self.many(lambda: self.pick(ASSIGNED), 20)

    def make_any_code_point(self):
        return self.many(lambda: chr(self.pick([c for c in (self.random.randrange(0x110000), 65)
                                                if is_character(c)])), 12)

    def make_recent(self):
        return self.many(lambda: self.pick(["", "", "a", " ", "1", "!", "e\u0301"]) + self.from_ranges(RECENT), 12)

    def make_marks(self):
        base = lambda: self.pick(["a", "e", "o", "i", " ", "1", "\u0431", "\u05d0", "\u0915", "\u1100", "\u00e9", "\u1ea5",
                                  self.pick(CATEGORIES["L"])])
        return self.many(lambda: base() + self.many(lambda: self.pick(CATEGORIES["M"]), 6), 6)

    def make_common_marks(self):
        return self.many(lambda: self.pick("aeiouAEOUncsz \u03b1\u03c9\u0438") +
                         self.many(lambda: chr(self.random.randint(0x300, 0x345)), 4), 8)

    def make_jamo(self):
        jamo = lambda: chr(self.pick([self.random.randint(0x1100, 0x1115), self.random.randint(0x1160, 0x1177),
                                      self.random.randint(0x11A7, 0x11C4), self.random.randint(0xAC00, 0xD7A3)]))
        return self.many(lambda: self.pick(["", "", " "]) + jamo(), 16)

    def make_not_recomposed(self):
        return self.many(lambda: self.from_ranges(NOT_RECOMPOSED) + self.pick(["", "\u0301", " ", "\u0338"]), 10)

    def make_emoji(self):
        tail = ["", "", "\ufe0f", "\U0001f3fd", "\u200d", "\u20e3", "\ufe0e", "\U000e0067\U000e007f"]
        flags = lambda: chr(self.random.randint(0x1F1E6, 0x1F1FF)) * 2
        one = lambda: self.pick([lambda: self.from_ranges(EMOJI), lambda: self.from_ranges(EMOJI), flags])()
        return self.many(lambda: one() + self.pick(tail), 8)

    def make_code(self):
        return self.many(lambda: " " * self.random.randint(0, 33) + self.pick(CODE), 4)

    def make_controls(self):
        return self.many(lambda: self.pick([chr(self.random.randrange(0x20)),
                                            chr(self.random.randint(0x7F, 0x9F)), "\0", "a", " "]), 20)

    def make_run(self):
        one = self.pick([" ", "\n", "a", "\t", "0", "-", "=", "\u00a0", "\u4e2d", "\u0301", "\0", "'", "\U0001f600", "\u3000",
                         self.pick(ASSIGNED)])
        return self.pick(["", "x", " "]) + one * self.count(self.pick([5, 40, 300])) + self.pick(["", "x", " x"])

    def make_spaces(self):
        return self.many(lambda: self.pick(["", "x", "\u00e9", "7", "!"]) + self.many(lambda: self.pick(SPACES), 4), 8)

    def make_space_runs(self):
        return self.many(lambda: " " * self.random.randint(0, 60) + self.pick(["x", "\n", "\t", "", "\u00a0", "5"]), 5)

    def make_added(self):
        return self.many(lambda: self.pick(["", " ", "  ", "\n", "a"]) + self.pick(ADDED), 6)

    def make_numbers(self):
        return self.many(lambda: self.pick(["", " ", "a", ".", ","]) +
                         self.many(lambda: self.pick([self.pick("0123456789"), self.pick(CATEGORIES["number"])]), 6), 8)

    def make_ascii(self):
        return self.many(lambda: chr(self.random.randint(0x20, 0x7E)), 40)

    def string(self):
        return "".join(self.pick(self.kinds)() for _ in range(self.pick([1, 1, 2, 3])))


def make(count, seed):
    maker = Maker(seed)
    return [maker.string() for _ in range(count)]
