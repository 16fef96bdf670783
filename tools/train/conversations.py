"""Conversations as the chat template writes them: facts told, tales, questions about the facts.

A conversation is a list of turns (role, text, weight): the weight says how much the model is asked
to learn the text. What users say is hardly predictable and weighs little; answers to questions
weigh most.
"""
import random

from . import small_tales, world

USER_WEIGHT = 0.05
TALE_WEIGHT = 0.5
TALK_WEIGHT = 1.0
ANSWER_WEIGHT = 6.0
UNKNOWN_SHARE = 0.07
BOOK_SHARE = 0.35  # of tales: from the books, else made

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
TELLING = ["{f}", "{f}", "{f}", "Remember this: {f}", "Please remember: {f}", "Listen: {f}", "You should know this: {f}",
           "I will tell you something. {f}"]
THAT = ["Please remember that {t}.", "Remember that {t}.", "Do not forget that {t}."]
NOTED = ["I will remember that.", "I will remember.", "Very well, I will remember that.", "I shall not forget it."]
NOTED_THAT = ["I will remember that {t}.", "Very well. I will remember that {t}."]
ASKING = ["{q}", "{q}", "{q}", "Tell me, {l}", "Do you remember? {q}", "Now tell me: {q}", "One question: {q}"]
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


class Conversation:
    """Grows turn by turn. `passages` supplies text from the books (Passages of passages.py)."""

    def __init__(self, seed, passages, held_out=False):
        self.rng = random.Random(seed)
        self.passages, self.held_out = passages, held_out
        self.turns, self.told = [], {}

    def _say(self, user, assistant, weight):
        self.turns.append(("user", user, USER_WEIGHT))
        self.turns.append(("assistant", assistant, weight))

    def system(self):
        self.turns.append(("system", self.rng.choice(SYSTEM), USER_WEIGHT))

    def tell(self, facts):
        rng = self.rng
        for fact in facts:
            self.told[fact.question] = fact
        if len(facts) == 1 and rng.random() < 0.3:
            user = rng.choice(THAT).format(t=facts[0].that if facts[0].kind not in ("mine", "called")
                                           else facts[0].statement[0].lower() + facts[0].statement[1:-1])
        else:
            user = rng.choice(TELLING).format(f=" ".join(f.statement for f in facts))
        if len(facts) == 1 and rng.random() < 0.4:
            self._say(user, rng.choice(NOTED_THAT).format(t=facts[0].that), TALK_WEIGHT)
        else:
            self._say(user, rng.choice(NOTED), TALK_WEIGHT)

    def new_facts(self, count):
        facts = world.make_facts(self.rng, count, self.held_out)
        return [f for f in facts if f.question not in self.told]

    def ask(self, fact, known=True):
        q = fact.question
        user = self.rng.choice(ASKING).format(q=q, l=q[0].lower() + q[1:])
        self._say(user, fact.answer if known else fact.unknown, ANSWER_WEIGHT if known else TALK_WEIGHT)

    def ask_unknown(self):
        fact = world.make_fact(self.rng)
        if fact.question not in self.told:
            self.ask(fact, known=False)

    def talk(self):
        said, answers = self.rng.choice(TALK)
        self._say(self.rng.choice(said), self.rng.choice(answers), TALK_WEIGHT)

    def tale(self, max_tokens):
        if self.passages and self.rng.random() < BOOK_SHARE:
            self._book_tale(max_tokens)
        else:
            self._made_tale()

    def _made_tale(self):
        rng = self.rng
        hero, friend = world.someone(rng), world.someone(rng)
        while friend == hero:
            friend = world.someone(rng)
        place, thing = rng.choice(world.PLACES), rng.choice(world.THINGS)
        text = small_tales.make_tale(rng, hero, friend, place, thing)
        asked = [word for word in (friend, place, thing) if word in text]
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
        self._say(request, text, TALE_WEIGHT)

    def _book_tale(self, max_tokens):
        ids, word = self.passages.pick(self.rng, max_tokens)
        request = (self.rng.choice(BOOK_REQUESTS).format(a=small_tales.article(word)) if word
                   else self.rng.choice(BOOK_ANY))
        self._say(request, ids, TALE_WEIGHT)


def random_conversation(seed, passages, writer, length, tale_tokens=250):
    """One conversation of at least `length` tokens: ids and weights, cut there. Facts are told early and
    asked at all distances, most of them once."""
    talk = Conversation(seed, passages)
    rng = talk.rng
    out = writer.begin()
    wanted = []  # (position from which to ask, fact)

    def tell(count):
        facts = talk.new_facts(count)
        if facts:
            talk.tell(facts)
            for fact in facts:
                wanted.append((len(out) + int((length - len(out)) * rng.random() ** 1.3), fact))

    if rng.random() < 0.1:
        talk.system()
    few = max(2, round((length / 256) ** 0.7 * 3))
    for _ in range(rng.randint(1, few)):
        tell(rng.choice((1, 1, 1, 2, 3)))
    late = length - 25 * len(wanted) - 60
    while len(out) < length:
        out.write(talk.turns)
        talk.turns.clear()
        due = [w for w in wanted if w[0] <= len(out)] or (wanted if len(out) > late else [])
        kind = rng.random()
        if due and (kind < 0.7 or len(out) > late):
            chosen = rng.choice(due)
            wanted.remove(chosen)
            talk.ask(chosen[1])
            if rng.random() < 0.15:  # asked again later
                wanted.append((len(out) + int((length - len(out)) * rng.random()), chosen[1]))
        elif kind < 0.08:
            tell(rng.choice((1, 1, 2)))
        elif kind < 0.08 + UNKNOWN_SHARE:
            talk.ask_unknown()
        elif kind < 0.25:
            talk.talk()
        else:
            talk.tale(min(tale_tokens, max(40, length // 6)))
    return out.finish(length)
