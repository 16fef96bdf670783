"""A small world for conversations: people, animals, places and things, and facts about them.

A fact is a subject and a value put into a kind's sentences. One in HELD_OUT_EVERY pairs of subject
and value is held out by its checksum, as are some names: training never sees them, and
evaluate_recall.py asks for nothing else.
"""
import dataclasses
import random
import zlib

HELD_OUT_EVERY = 8

PEOPLE = """king queen prince princess miller baker smith tailor shepherd fisherman hunter witch wizard
giant dwarf soldier sailor gardener cook farmer merchant beggar knight""".split()
ANIMALS = """fox wolf bear hare raven swan goose cat dog mouse frog stag horse donkey goat cow lion eagle
crow sparrow hen cock badger snake fish lamb""".split()
ADJECTIVES = """golden silver iron copper wooden old little red blue green black white broken magic stone
rusty shining round heavy""".split()
THINGS = """key ring cup crown sword lamp box mirror bell spoon comb needle book harp drum coin chest horn
flute basket apple egg shoe glove ladder rope hammer candle purse feather stone button bottle whistle
shield knife fork plate pot jug ball bag sack bow arrow axe stick wand chain pearl ruby diamond jewel
belt clock letter map picture pen carpet wheel pipe fiddle violin doll hook nail leaf flower rose seed
bone shell cage pillow saddle bucket""".split()
RELATIONS = "under behind beside in near by".split()
PLACES = """mill well bridge forest castle tower garden stable barn river lake mountain cave church inn
kitchen cellar oak hill meadow gate forge market lighthouse cottage wall pond willow valley spring island
shore road field village city ship boat house palace tree rock door stairs table bed fire shop tent
fence hedge fountain beach hut cliff cupboard throne stove cart carriage nest sea wood bush yard temple
tomb""".split()
COLOURS = "red blue green yellow white black brown grey purple golden silver orange pink scarlet".split()
GARMENTS = "cloak hat dress coat hood scarf shirt belt".split()
FOODS = """bread cheese milk honey apples nuts cakes butter eggs meat soup fish pears cherries water wine
tea sugar salt porridge beans corn cream figs""".split()
NUMBERS = "two three four five six seven eight nine ten eleven twelve twenty thirty forty".split()
HERDS = """cats dogs horses sheep goats hens cows pigs daughters sons brothers sisters ships servants
bees""".split()
OWNED = "dog cat horse ship sword daughter son sister brother donkey goose cow".split()
NAMES = """Hans Gretel Peter Rose Jack Lily Tom Clara Heidi Marie William Emma Alice Robert Simon Dorothy
Mabel Nora Ruth Roger Jane Andrew Greta Ivan Vera Nils Lars Marco Isabel Sebastian Mary Anne John Michael
Martha Diana Kathleen Colin Phyllis Jimmy Wendy Gerald Matthew Irene Gerda Bill Cyril Anthea Marion Ruby
Dick Billy Kate Eva Mark James Max Ben Sam Fred Frank Harry Sara Maria Johnny Kay Ali Ahmed Noah Leo
Percy Roberta Ned Amy Barry Stella""".split()
SECRETS = """thunder moonlight acorn pepper ember starling frost clover thistle amber raven love summer
winter silence storm sunshine forest diamond dragon emerald mountain palace courage wisdom danger shadow
candle feather morning evening midnight kingdom river garden treasure secret wonder""".split()


@dataclasses.dataclass(frozen=True)
class Fact:
    kind: str
    subject: str
    value: str

    def _fill(self, which):
        return SENTENCES[self.kind][which].format(s=self.subject, v=self.value)

    @property
    def statement(self):
        """What the user says."""
        return self._fill(0)

    @property
    def question(self):
        return self._fill(1)

    @property
    def answer(self):
        return self._fill(2)

    @property
    def unknown(self):
        """The answer where the fact was never told."""
        return self._fill(3)

    @property
    def that(self):
        """The fact as it follows "that"."""
        return self.answer[0].lower() + self.answer[1:-1]

    @property
    def held_out(self):
        if self.kind in NAMED and held_out_name(self.value):
            return True
        return zlib.crc32(f"{self.kind}|{self.subject}|{self.value}".encode()) % HELD_OUT_EVERY == 0


# statement, question, answer, answer where it was never told
SENTENCES = {
    "place": ("The {s} is {v}.", "Where is the {s}?", "The {s} is {v}.", "I do not know where the {s} is."),
    "lives": ("The {s} lives {v}.", "Where does the {s} live?", "The {s} lives {v}.",
              "I do not know where the {s} lives."),
    "name": ("The {s}'s name is {v}.", "What is the {s}'s name?", "The {s}'s name is {v}.",
             "I do not know the {s}'s name."),
    "mine": ("My name is {v}.", "What is my name?", "Your name is {v}.", "I do not know your name."),
    "called": ("My {s} is called {v}.", "What is my {s} called?", "Your {s} is called {v}.",
               "I do not know what your {s} is called."),
    "colour": ("The {s} is {v}.", "What colour is the {s}?", "The {s} is {v}.",
               "I do not know what colour the {s} is."),
    "loves": ("The {s} loves {v}.", "What does the {s} love?", "The {s} loves {v}.",
              "I do not know what the {s} loves."),
    "number": ("The {s[0]} has {v} {s[1]}.", "How many {s[1]} does the {s[0]} have?", "The {s[0]} has {v} {s[1]}.",
               "I do not know how many {s[1]} the {s[0]} has."),
    "secret": ("The secret word is {v}.", "What is the secret word?", "The secret word is {v}.",
               "I do not know the secret word."),
}
NAMED = ("name", "mine", "called")  # kinds whose value is a name
WEIGHTS = {"place": 10, "lives": 3, "name": 3, "mine": 2, "called": 2, "colour": 4, "loves": 4, "number": 3, "secret": 1}


def held_out_name(name):
    return zlib.crc32(name.encode()) % HELD_OUT_EVERY == 0


def thing(rng):
    return f"{rng.choice(ADJECTIVES)} {rng.choice(THINGS)}"


def where(rng):
    return f"{rng.choice(RELATIONS)} the {rng.choice(PLACES)}"


def someone(rng):
    return rng.choice(PEOPLE if rng.random() < 0.6 else ANIMALS)


_MAKERS = {
    "place": lambda r: (thing(r), where(r)),
    "lives": lambda r: (someone(r), where(r)),
    "name": lambda r: (someone(r), r.choice(NAMES)),
    "mine": lambda r: ("", r.choice(NAMES)),
    "called": lambda r: (r.choice(OWNED), r.choice(NAMES)),
    "colour": lambda r: (f"{r.choice(PEOPLE)}'s {r.choice(GARMENTS)}", r.choice(COLOURS)),
    "loves": lambda r: (someone(r), r.choice(FOODS)),
    "number": lambda r: ((r.choice(PEOPLE), r.choice(HERDS)), r.choice(NUMBERS)),
    "secret": lambda r: ("", r.choice(SECRETS)),
}


def make_fact(rng, held_out=False):
    """A random fact, held out or not as asked."""
    while True:
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        subject, value = _MAKERS[kind](rng)
        fact = Fact(kind, subject, value)
        if fact.held_out == held_out:
            return fact


def make_facts(rng, count, held_out=False):
    """Facts that ask for different things."""
    facts = {}
    while len(facts) < count:
        fact = make_fact(rng, held_out)
        facts.setdefault(fact.question, fact)
    return list(facts.values())


if __name__ == "__main__":
    for f in make_facts(random.Random(1), 30):
        print(f.statement, "|", f.question, "|", f.answer, "|", f.that, "|", f.unknown)
