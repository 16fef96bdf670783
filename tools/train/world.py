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
giant dwarf soldier sailor gardener cook farmer merchant beggar minstrel weaver cobbler knight woodcutter
goose-girl innkeeper ferryman clockmaker herdsman""".split()
ANIMALS = """fox wolf bear hare hedgehog raven owl swan goose cat dog mouse frog stag horse donkey goat
cow lion eagle crow sparrow hen cock squirrel otter badger snake fish lamb""".split()
ADJECTIVES = """golden silver iron copper wooden old little red blue green black white broken magic
crystal stone rusty shining round heavy""".split()
THINGS = """key ring cup crown sword lamp box mirror bell spoon comb needle book harp drum coin chest
lantern horn flute kettle basket apple egg shoe glove ladder rope hammer candle purse feather stone
button bottle whistle spindle shield""".split()
RELATIONS = "under behind beside in near by".split()
PLACES = """mill well bridge forest castle tower garden stable barn river lake mountain cave church inn
kitchen cellar oak hill meadow gate chapel orchard forge market harbour lighthouse cottage haystack wall
pond willow valley spring island""".split()
COLOURS = "red blue green yellow white black brown grey purple golden silver orange pink scarlet".split()
GARMENTS = "cloak hat dress coat hood apron scarf ribbon shirt belt".split()
FOODS = """honey cakes|fresh bread|red apples|cheese|plum pudding|hot soup|nuts|cherries|roast goose|
pancakes|strawberries|milk|gingerbread|porridge|blackberries|pears|butter|sausages|fish|sweet grapes|carrots|
mushrooms|barley|salt|turnips""".replace("\n", "").split("|")
NUMBERS = "two three four five six seven eight nine ten eleven twelve twenty thirty forty".split()
HERDS = "cats dogs horses geese sheep goats hens cows pigs daughters sons brothers sisters ships servants bees".split()
OWNED = "dog cat horse ship sword daughter son sister brother donkey goose cow".split()
NAMES = """Anna Hans Gretel Peter Rose Jack Lily Tom Clara Martin Ella Karl Heidi Fritz Marie Otto Johanna
William Emma George Alice Arthur Agnes Robert Lucy Henry Margaret Edward Catherine Simon Barbara Philip
Dorothy Thomas Helen Richard Edith Walter Mabel Oliver Nora Hugh Ruth Roger Jane Stephen Susan Andrew
Bridget Conrad Ursula Felix Greta Ivan Olga Boris Vera Nils Ingrid Lars Sigrid Olaf Freya Bruno Elsa Marco
Bianca Paolo Lucia Pedro Carmen Diego Isabel Pierre Colette Jules Yvette Rufus Tilda Magnus Wanda Casper
Melchior Rosalind Gilbert Winifred Ambrose Celia Barnaby Hester Silas Phoebe Tobias Judith Leopold Matilda
Theodor Hedwig Sebastian Flora Valentin Beatrice Gustav Amelia""".split()
SYLLABLES = "ba bel bor dan del dor fa fen fin gal gor hal il ka kel lan lor ma mel mir na nor or pel ra ril ro sa sel tam tor ul va wen yo zan".split()
SECRETS = """thunder|marigold|nightingale|candlewick|bramble|silverfish|moonlight|cinnamon|snowdrop|lantern|
acorn|whirlwind|pepper|sunflower|nutmeg|driftwood|foxglove|rainbow|ember|starling|juniper|walnut|frost|
clover|hazel|saffron|thistle|amber|raven|harvest""".replace("\n", "").split("|")


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
        text = self.answer[:-1]
        return text if self.kind == "person_place" else text[0].lower() + text[1:]

    @property
    def held_out(self):
        name = {"name": self.value, "mine": self.value, "called": self.value, "person_place": self.subject}
        if self.kind in name and held_out_name(name[self.kind]):
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
    "person_place": ("{s} is {v}.", "Where is {s}?", "{s} is {v}.", "I do not know where {s} is."),
    "has": ("The {s} has the {v}.", "What does the {s} have?", "The {s} has the {v}.",
            "I do not know what the {s} has."),
}
WEIGHTS = {"place": 10, "lives": 3, "name": 3, "mine": 2, "called": 2, "colour": 4, "loves": 4, "number": 3,
           "secret": 1, "person_place": 2, "has": 3}


def held_out_name(name):
    return zlib.crc32(name.encode()) % HELD_OUT_EVERY == 0


def thing(rng):
    return f"{rng.choice(ADJECTIVES)} {rng.choice(THINGS)}"


def where(rng):
    return f"{rng.choice(RELATIONS)} the {rng.choice(PLACES)}"


def name(rng):
    """Given names, and some that no list has."""
    if rng.random() < 0.3:
        return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((2, 2, 3)))).capitalize()
    return rng.choice(NAMES)


def someone(rng):
    return rng.choice(PEOPLE if rng.random() < 0.6 else ANIMALS)


_MAKERS = {
    "place": lambda r: (thing(r), where(r)),
    "lives": lambda r: (someone(r), where(r)),
    "name": lambda r: (someone(r), name(r)),
    "mine": lambda r: ("", name(r)),
    "called": lambda r: (r.choice(OWNED), name(r)),
    "colour": lambda r: (f"{r.choice(PEOPLE)}'s {r.choice(GARMENTS)}", r.choice(COLOURS)),
    "loves": lambda r: (someone(r), r.choice(FOODS)),
    "number": lambda r: ((r.choice(PEOPLE), r.choice(HERDS)), r.choice(NUMBERS)),
    "secret": lambda r: ("", r.choice(SECRETS)),
    "person_place": lambda r: (name(r), where(r)),
    "has": lambda r: (someone(r), thing(r)),
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
