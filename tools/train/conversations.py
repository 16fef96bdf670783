"""Conversations as the chat template writes them: facts told, tales, questions about the facts.

A conversation is a list of turns (role, text, weight, matters): the weight says how much the model is
asked to learn the text. What users say is hardly predictable and weighs nothing; answers to questions
weigh most. Turns matter that tell a fact or ask for one; the others lie between.
"""
import dataclasses
import random

from . import small_tales, world

USER_WEIGHT = 0.0
TALE_WEIGHT = 0.5
TALK_WEIGHT = 1.0
NOTED_WEIGHT = 2.0
ANSWER_WEIGHT = 6.0
UNKNOWN_SHARE = 0.07
ANY_NAME_SHARE = 0.6  # of names: not from the list of world.py
BOOK_SHARE = 0.35  # of tales: from the books, else made
MADE_TOKENS = 120  # made tales that must be shorter are a part of one, from which nothing is learned
SENTENCE_TOKENS = 16

TELL_REQUESTS = ["Tell me a story about {a} and {b}.", "Tell me a tale about {a} and {b}.",
                 "A story about {a} and {b}, please.", "Do you know a story about {a} and {b}?",
                 "Can you tell me a story about {a} and {b}?", "I would like a story about {a} and {b}.",
                 "Tell me about {a} and {b}.", "Please tell me a story about {a} and {b}."]
ONE_REQUESTS = ["Tell me a story about {a}.", "Tell me a tale about {a}.", "A story about {a}, please.",
                "Do you know a story about {a}?", "I would like to hear about {a}."]
ANY_REQUESTS = ["Tell me a story.", "Tell me a tale.", "Another one, please.", "Tell me another story.",
                "One more story, please."]
BOOK_REQUESTS = ["Tell me an old tale about {a}.", "Read me something about {a}.",
                 "Read to me from the old books about {a}.", "What do the old books say about {a}?"]
BOOK_ANY = ["Tell me an old tale.", "Read me something from the old books.", "Read to me.", "Read on.", "Go on."]
TELLING = ["{f}", "{f}", "{f}", "Remember this: {f}", "Please remember: {f}", "Listen: {f}"]
THAT = ["Please remember that {t}.", "Remember that {t}.", "Do not forget that {t}."]
NOTED = "I will remember that {t}."
ASKING = ["{q}", "{q}", "{q}", "{q}", "Do you remember? {q}", "Now tell me: {q}"]
TALK = [
    (("Hello!", "Hello.", "Good day!", "Good morning.", "Hi!"),
     ("Good day to you! Shall I tell you a story?", "Hello! What would you like to hear?")),
    (("Thank you.", "Thank you very much.", "Thanks!"), ("You are welcome.", "It was a pleasure.")),
    (("Who are you?", "What are you?"),
     ("I am a small teller of tales. I know the old stories, and I remember what you tell me.",)),
    (("What can you do?", "How can you help me?"),
     ("I can tell you stories, and I can remember what you tell me and answer when you ask.",)),
    (("That was a fine story.", "I liked that.", "What a nice story!"),
     ("I am glad that you liked it.", "Thank you. Shall I tell you another?")),
    (("How are you?",), ("I am well, thank you. And you?", "Very well, thank you.")),
    (("Good night.", "Goodbye.", "Farewell!"), ("Good night, and sweet dreams.", "Farewell, and come again soon.")),
    (("Are you still there?", "Are you listening?"), ("Yes, I am listening.", "Yes, I am here.")),
]
SYSTEM = ["You tell old tales and remember what you are told.", "You are a teller of tales.",
          "Answer in short sentences.", "You are a kind old storyteller."]


@dataclasses.dataclass(frozen=True)
class Level:
    """How hard it is to remember."""

    length: int  # tokens of a conversation
    facts: int  # told before they are asked for, at most
    tales: int = 0  # turns of tales before they are asked for, at most
    tale_tokens: int = 60  # of one from a book, at most
    between: float = 0.0  # share of facts after which something else is said


class Conversation:
    """Grows turn by turn. `passages` supplies text from the books (Passages of passages.py)."""

    def __init__(self, seed, passages, held_out=False):
        self.rng = random.Random(seed)
        self.passages, self.held_out = passages, held_out
        self.turns, self.told = [], {}

    def _say(self, user, assistant, weight):
        matters = weight in (NOTED_WEIGHT, ANSWER_WEIGHT)
        self.turns.append(("user", user, USER_WEIGHT, matters))
        self.turns.append(("assistant", assistant, weight, matters))

    def system(self):
        self.turns.append(("system", self.rng.choice(SYSTEM), USER_WEIGHT, True))

    def tell(self, fact):
        """The answer repeats the fact: what it says and what the state has to keep is then learned in one place."""
        rng = self.rng
        self.told[fact.question] = fact
        that = fact.that if fact.kind not in ("mine", "called") else f"my{fact.that[4:]}"
        user = rng.choice(THAT).format(t=that) if rng.random() < 0.3 else rng.choice(TELLING).format(f=fact.statement)
        self._say(user, NOTED.format(t=fact.that), NOTED_WEIGHT)

    def new_facts(self, count):
        facts = map(self._renamed, world.make_facts(self.rng, count, self.held_out))
        return [f for f in facts if f.question not in self.told]

    def _renamed(self, fact):
        """With any word for a name: to repeat a name that was never seen is learned from many names."""
        if fact.kind not in world.NAMED or self.held_out or self.rng.random() > ANY_NAME_SHARE:
            return fact
        other = dataclasses.replace(fact, value=self.rng.choice(self.passages.names))
        return fact if other.held_out else other

    def ask(self, fact, known=True):
        q = fact.question
        user = self.rng.choice(ASKING).format(q=q)
        self._say(user, fact.answer if known else fact.unknown, ANSWER_WEIGHT if known else TALK_WEIGHT)

    def ask_unknown(self):
        fact = world.make_fact(self.rng)
        if fact.question not in self.told:
            self.ask(fact, known=False)

    def talk(self):
        said, answers = self.rng.choice(TALK)
        self._say(self.rng.choice(said), self.rng.choice(answers), TALK_WEIGHT)

    def tale(self, max_tokens):
        if self.rng.random() < BOOK_SHARE:
            self._book_tale(max_tokens)
        else:
            self._made_tale(max_tokens)

    def _made_tale(self, max_tokens):
        rng = self.rng
        hero, friend = world.someone(rng), world.someone(rng)
        while friend == hero:
            friend = world.someone(rng)
        place, thing = rng.choice(world.PLACES), rng.choice(world.THINGS)
        cut = max_tokens < MADE_TOKENS
        most = rng.randint(1, max(1, max_tokens // SENTENCE_TOKENS)) if cut else None
        text = small_tales.make_tale(rng, hero, friend, place, thing, most)
        asked = [word for word in (friend, place, thing) if word in text] or [place]
        kind = rng.random()
        if kind < 0.65:
            pair = [small_tales.article(hero), small_tales.article(rng.choice(asked))]
            if rng.random() < 0.2:
                pair.reverse()
            request = rng.choice(TELL_REQUESTS).format(a=pair[0], b=pair[1])
        elif kind < 0.85:
            request = rng.choice(ONE_REQUESTS).format(a=small_tales.article(hero))
        else:
            request = rng.choice(ANY_REQUESTS)
        self._say(request, text, USER_WEIGHT if cut else TALE_WEIGHT)

    def _book_tale(self, max_tokens):
        ids, word = self.passages.pick(self.rng, max_tokens)
        request = (self.rng.choice(BOOK_REQUESTS).format(a=small_tales.article(word)) if word
                   else self.rng.choice(BOOK_ANY))
        self._say(request, ids, TALE_WEIGHT)


def random_conversation(seed, passages, writer, level):
    """ids, weights and what matters of one conversation, cut to the level's length. Rounds follow each other: facts
    are told, tales and talk come between, all facts are asked for, and some of an earlier round."""
    talk = Conversation(seed, passages)
    rng = talk.rng
    out = writer.begin()

    def write():
        out.write(talk.turns)
        talk.turns.clear()

    if rng.random() < 0.1:
        talk.system()
    while len(out) <= level.length:
        facts = talk.new_facts(rng.randint(1, level.facts))
        old = [f for f in talk.told.values() if f not in facts]
        for fact in facts:
            talk.tell(fact)
            if rng.random() < level.between:
                talk.talk()
        for _ in range(rng.randint(level.tales > 0, level.tales)):
            write()
            if rng.random() < 0.15:
                talk.talk()
            talk.tale(level.tale_tokens)
        asked = facts + rng.sample(old, min(len(old), rng.randint(0, 2)))
        rng.shuffle(asked)
        for fact in asked:
            talk.ask(fact)
            if rng.random() < UNKNOWN_SHARE:
                talk.ask_unknown()
        write()
    return out.finish(level.length)
