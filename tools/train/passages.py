"""Turns as tokens, and passages of the books that a conversation can quote."""
import re

import numpy as np

from . import corpus, world

# Words that a request for a passage can name.
TOPICS = sorted(set(world.PEOPLE + world.ANIMALS + world.PLACES + world.THINGS + "man woman boy girl child".split()))


class Writer:
    """Collects ids and weights of a conversation, as chat_template.jinja writes it, and which of its
    tokens matter."""

    def __init__(self, tokenizer):
        self.tokenizer, self.cache = tokenizer, {}
        self.begins = {role: tokenizer.token_to_id(token) for role, token in corpus.ROLES.items()}
        self.end = tokenizer.token_to_id(corpus.END_OF_TURN)
        self.ids, self.weights, self.matters = [], [], []

    def begin(self):
        self.ids, self.weights, self.matters = [corpus.END_OF_TEXT_ID], [0.0], [True]
        return self

    def __len__(self):
        return len(self.ids)

    def encode(self, text):
        ids = self.cache.get(text)
        if ids is None:
            ids = self.tokenizer.encode(text).ids
            if len(text) < 100 and len(self.cache) < 200_000:
                self.cache[text] = ids
        return ids

    def write(self, turns):
        for role, content, weight, matters in turns:
            ids = self.encode(content) if isinstance(content, str) else content
            self.ids.append(self.begins[role])
            self.weights.append(0.0)
            self.ids.extend(ids)
            self.ids.append(self.end)
            self.weights.extend([weight] * (len(ids) + 1))
            self.matters.extend([matters] * (len(ids) + 2))

    def finish(self, length):
        """Of a conversation of more than `length` tokens: ids (length + 1), the weight of predicting each
        but the first, and whether each but the last matters."""
        return (np.array(self.ids[: length + 1], np.int64), np.array(self.weights[1 : length + 1], np.float32),
                np.array(self.matters[:length]))


def any_names(tokenizer):
    """Words of the vocabulary, written as names."""
    words = {token[1:].capitalize() for token in tokenizer.get_vocab() if re.fullmatch("Ġ[A-Za-z]{3,}", token)}
    encoded = zip(sorted(words), tokenizer.encode_batch([f" {word}" for word in sorted(words)]))
    return [word for word, tokens in encoded if len(tokens) <= 2]


class Passages:
    """Paragraphs of the training text by the topic they mention."""

    def __init__(self, tokens, starts, topics):
        """starts: where paragraphs begin in `tokens`; topics (paragraph, topic) pairs, sorted."""
        self.tokens, self.starts = tokens, starts
        self.by_topic = {}
        for paragraph, topic in topics:
            self.by_topic.setdefault(TOPICS[topic], []).append(paragraph)
        self.topics = [t for t in TOPICS if len(self.by_topic.get(t, ())) >= 10]

    def pick(self, rng, max_tokens):
        """ids of whole paragraphs, and the topic named in the first, or None."""
        for _ in range(20):
            word = rng.choice(self.topics) if rng.random() < 0.7 else None
            first = rng.choice(self.by_topic[word]) if word else rng.randrange(len(self.starts) - 2)
            last = first + 1
            limit = rng.randint(max_tokens // 3, max_tokens)
            while last < len(self.starts) - 1 and self.starts[last + 1] - self.starts[first] <= limit:
                last += 1
            ids = self.tokens[self.starts[first] : self.starts[last]].tolist()
            if 20 <= len(ids) <= max_tokens and corpus.END_OF_TEXT_ID not in ids:
                return self._trim(ids), word
        return self._trim(ids[:max_tokens]), word

    def _trim(self, ids):
        while ids and ids[-1] in self.breaks:
            ids.pop()
        return ids

    breaks, names = (), ()  # tokens that end lines; any_names()
