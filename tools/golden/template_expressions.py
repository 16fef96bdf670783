"""Random expressions over a few variables, most of which mean something."""
import random

VARIABLES = {
    "s": "Hello, World", "t": "  two  words\n", "u": "Grüße 世界 🙂 é", "e": "", "q": "it's \"q\"",
    "i": 7, "n": -3, "z": 0, "f": 2.5, "g": -0.1, "h": 1e16, "b": True, "c": False, "x": None,
    "l": [3, 1, 2, 1], "m": ["b", "A", "c", ""], "o": [], "w": [[1, 2], [3], []],
    "d": {"a": 1, "b": "two", "items": [1], "n": None}, "k": {},
    "r": [{"role": "user", "n": 2, "v": {"y": "Q"}}, {"role": "tool", "n": 1, "v": {"y": "P"}},
          {"role": "user", "n": 3, "v": {"y": "R"}}],
}


class Maker:
    def __init__(self, rng):
        self.rng = rng

    def pick(self, *makers):
        return self.rng.choice(makers)()

    def any(self, depth):
        if self.rng.random() < 0.05:  # types that do not go together must fail alike
            return self.rng.choice(list(VARIABLES) + ["missing", "d.missing"])
        return self.rng.choice([self.text, self.number, self.truth, self.list, self.dict])(depth)

    def text(self, depth):
        if depth <= 0:
            return self.rng.choice(["s", "t", "u", "e", "q", "'abc'", '"x\\ny"', "'o'", "' '",
                                    "'a' 'b'", "'\\u00e9'", "'l'"])
        a, d = self.text(depth - 1), depth - 1
        return self.rng.choice([
            lambda: f"{a} + {self.text(d)}", lambda: f"({a} ~ {self.any(d)})",
            lambda: f"({a})[{self.number(0)}]", lambda: f"({a})[{self.bound()}:{self.bound()}]",
            lambda: f"({a})[{self.bound()}:{self.bound()}:{self.rng.choice(['1', '2', '-1', '-2'])}]",
            lambda: f"({a}) * {self.rng.choice(['0', '2', '-1', 'i'])}",
            lambda: f"({a})" + self.rng.choice([
                ".strip()", ".lstrip()", ".rstrip()", ".strip('Hl ')", ".rstrip('d\\n')", ".upper()",
                ".lower()", ".title()", ".capitalize()", ".replace('l', 'LL')", ".replace('', '-')",
                ".replace('l', '', 1)", ".removeprefix('He')", ".removesuffix('ld')"]),
            lambda: f"({a})" + self.rng.choice([
                "|trim", "|upper", "|lower", "|title", "|capitalize", "|replace('o', '0')", "|string",
                "|indent", "|indent(2, true)", "|indent('> ', blank=true)", "|reverse", "|first",
                "|last", "|d('z')", "|default('z', true)", "|trim('H')"]),
            lambda: f"({self.any(d)})|string", lambda: f"({self.any(d)})|tojson",
            lambda: f"({self.list(d)})|tojson(indent={self.rng.choice('024')})",
            lambda: f"({self.list(d)})|join({self.text(0)})", lambda: f"{self.text(0)}.join({self.list(d)})",
            lambda: f"({a} if {self.truth(d)} else {self.text(d)})", lambda: f"({a} if {self.truth(d)})",
            lambda: f"({a} and {self.text(d)})", lambda: f"({a} or {self.any(d)})",
            lambda: f"({self.dict(d)}).b", lambda: f"r[{self.number(0)}].role",
        ])()

    def bound(self):
        return self.rng.choice(["", "0", "1", "2", "-1", "-3", "100", "-100", "n", "i"])

    def number(self, depth):
        if depth <= 0:
            return self.rng.choice(["i", "n", "z", "f", "g", "h", "b", "0", "1", "2", "5", "1.5",
                                    "3e2", "1_000", "0x1f", "-1", "10"])
        a, d = self.number(depth - 1), depth - 1
        return self.rng.choice([
            lambda: f"{a} {self.rng.choice(['+', '-', '*', '/', '//', '%'])} {self.number(d)}",
            lambda: f"({a}) {self.rng.choice(['+', '-', '*', '/', '//', '%'])} ({self.number(d)})",
            lambda: f"-{a}", lambda: f"({a})|abs", lambda: f"({a})|round", lambda: f"({a})|round(1)",
            lambda: f"({a})|round(1, 'floor')", lambda: f"({a})|int", lambda: f"({a})|float",
            lambda: f"({self.text(d)})|int(9)", lambda: f"({self.text(d)})|float",
            lambda: f"({self.any(d)})|length", lambda: f"({self.list(d)})|sum",
            lambda: f"({self.list(d)})|min", lambda: f"({self.list(d)})|max",
            lambda: f"({self.text(d)}).find({self.text(0)})", lambda: f"({self.text(d)}).count('l')",
            lambda: f"({self.text(d)})|wordcount", lambda: f"2 ** {self.rng.choice(['3', '0', '-1', '0.5'])}",
            lambda: f"r|sum(attribute='n')", lambda: f"({self.list(d)})[{self.bound() or 0}]",
            lambda: f"({a} if {self.truth(d)} else {self.number(d)})", lambda: "(l|first)",
            lambda: f"({self.list(d)}).count(1)", lambda: f"({self.dict(d)}).get('a', {a})",
        ])()

    def truth(self, depth):
        if depth <= 0:
            return self.rng.choice(["true", "False", "b", "c", "x", "none", "(missing is defined)", "s"])
        d = depth - 1
        kinds = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean",
                 "mapping", "iterable", "sequence", "true", "false", "not none", "not string"]
        return self.rng.choice([
            lambda: f"({self.any(d)} is {self.rng.choice(kinds)})",
            lambda: f"({self.number(d)} {self.rng.choice(['<', '<=', '>', '>=', '==', '!='])} {self.number(d)})",
            lambda: f"({self.text(d)} {self.rng.choice(['<', '>=', '==', '!='])} {self.text(d)})",
            lambda: f"({self.any(d)} {self.rng.choice(['==', '!='])} {self.any(d)})",
            lambda: f"({self.text(d)} {self.rng.choice(['in', 'not in'])} {self.text(d)})",
            lambda: f"({self.any(d)} {self.rng.choice(['in', 'not in'])} {self.list(d)})",
            lambda: f"({self.text(0)} in {self.dict(d)})", lambda: f"not {self.any(d)}",
            lambda: f"({self.truth(d)} and {self.truth(d)})", lambda: f"({self.truth(d)} or {self.any(d)})",
            lambda: f"({self.text(d)}).startswith({self.text(0)})", lambda: f"({self.text(d)}).endswith('d')",
            lambda: f"({self.number(d)} is {self.rng.choice(['odd', 'even', 'divisibleby 2', 'divisibleby(3)'])})",
            lambda: f"({self.number(d)} is {self.rng.choice(['gt', 'lt', 'eq', 'ne', 'ge', 'in'])}({self.number(0)}))",
            lambda: f"(1 < {self.number(d)} <= 5)", lambda: f"({self.text(d)}).{self.rng.choice(['isdigit', 'isalpha', 'isspace', 'isupper', 'islower'])}()",
        ])()

    def list(self, depth):
        if depth <= 0:
            return self.rng.choice(["l", "m", "o", "w", "[1, 2.0]", "['a', none]", "(1, 'b')", "[]"])
        a, d = self.list(depth - 1), depth - 1
        return self.rng.choice([
            lambda: f"[{self.any(d)}, {self.any(d)}]", lambda: f"({self.any(d)},)", lambda: f"({a} + {self.list(d)})",
            lambda: f"({a})[{self.bound()}:{self.bound()}]", lambda: f"({a})[::-1]", lambda: f"({a}) * 2",
            lambda: f"({a})|list", lambda: f"({a})|sort", lambda: f"({a})|sort(reverse=true)",
            lambda: f"({a})|reverse|list", lambda: f"({a})|unique|list",
            lambda: f"({self.text(d)}).split()", lambda: f"({self.text(d)}).split({self.text(0)})",
            lambda: f"({self.text(d)}).split('o', 1)", lambda: f"({self.text(d)}).rsplit(' ', 1)",
            lambda: f"({self.text(d)}).splitlines()", lambda: f"({self.text(d)})|list",
            lambda: f"({self.dict(d)}).keys()|list", lambda: f"({self.dict(d)}).values()|list",
            lambda: f"({self.dict(d)})|items|list", lambda: f"({self.dict(d)})|dictsort",
            lambda: f"({a})|map('{self.rng.choice(['string', 'upper', 'length', 'int', 'tojson'])}')|list",
            lambda: f"({a})|select|list", lambda: f"({a})|reject('none')|list",
            lambda: f"({a})|select('{self.rng.choice(['string', 'number', 'defined', 'odd'])}')|list",
            lambda: f"r|map(attribute='{self.rng.choice(['role', 'n', 'v.y', 'no'])}')|list",
            lambda: f"r|selectattr('role', 'equalto', 'user')|map(attribute='n')|list",
            lambda: f"r|rejectattr('n', 'gt', 1)|list", lambda: "r|sort(attribute='v.y')",
            lambda: f"range({self.rng.choice(['0', '3', '1, 4', '5, 0, -2'])})|list",
            lambda: f"({a})|batch(2)|list", lambda: f"({a})|slice(2)|list", lambda: f"({a})|batch(2, 'x')|list",
        ])()

    def dict(self, depth):
        if depth <= 0:
            return self.rng.choice(["d", "k", "{}", "{'a': 1, 'b': 'x'}", "r[0]"])
        return self.rng.choice([
            lambda: "{" + f"'a': {self.any(depth - 1)}, {self.text(0)}: {self.any(depth - 1)}" + "}",
            lambda: f"dict(a={self.any(depth - 1)}, b=2)", lambda: f"dict({self.dict(depth - 1)})",
            lambda: "{1: 'one', true: 'yes', 'b': " + self.any(depth - 1) + "}",
        ])()


def make(count, seed):
    """Sources that print an expression each."""
    rng = random.Random(seed)
    maker = Maker(rng)
    return ["{{ " + maker.any(rng.choice([1, 2, 2, 3])) + " }}" for _ in range(count)]
