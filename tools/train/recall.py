"""How well a model remembers: held-out facts told at the beginning of a conversation and asked for
after many turns of tales."""
import collections

import torch

from . import conversations, passages


def make_conversation(data, seed, facts=1, turns=0, tokens=0):
    """ids, and the span and the fact of every answer. At least `turns` turns of tales and `tokens`
    tokens lie between the last fact and the first question."""
    talk = conversations.Conversation(f"recall {seed}", data.passages, held_out=True)
    writer = passages.Writer(data.tokenizer).begin()

    def write():
        writer.write(talk.turns)
        talk.turns.clear()

    chosen = conversations.world.make_facts(talk.rng, facts, held_out=True)
    for fact in chosen:
        talk.tell(fact)
        write()
    told, turn = len(writer), 0
    while turn < turns or len(writer) - told < tokens:
        talk.tale(250)
        write()
        turn += 1
    talk.rng.shuffle(chosen)
    spans = []
    for fact in chosen:
        talk.ask(fact)
        answer = len(writer.encode(talk.turns[-1][1])) + 1
        write()
        spans.append((len(writer) - answer, len(writer), fact))
    return writer.ids, spans


def evaluate(model, data, device, count=200, facts=1, turns=0, tokens=0, batch=20, chunk=512):
    """Of `count` facts, `facts` to a conversation: the share of answers that the model would give
    exactly, greedily, and the counts by kind of fact. Read in chunks with the state carried: the memory
    does not grow with the distance."""
    talks = [make_conversation(data, f"{facts} {turns} {tokens} {i}", facts, turns, tokens)
             for i in range(-(-count // facts))]
    right, asked = collections.Counter(), collections.Counter()
    for begin in range(0, len(talks), batch):
        group = talks[begin : begin + batch]
        length = max(len(ids) for ids, _ in group)
        ids = torch.zeros(len(group), length, dtype=torch.long)
        for row, (row_ids, _) in enumerate(group):
            ids[row, : len(row_ids)] = torch.tensor(row_ids)
        guesses = torch.zeros_like(ids)
        first = min(spans[0][0] for _, spans in group) - 1  # nothing is asked before
        state = model.initial_state(len(group), device)
        with torch.no_grad():
            for at in range(0, length, chunk):
                hidden, state = model.hidden(ids[:, at : at + chunk].to(device), state)
                if at + chunk > first:
                    guesses[:, at : at + chunk] = model.head(hidden).argmax(-1).cpu()
        for row, (_, spans) in enumerate(group):
            for start, end, fact in spans:
                asked[fact.kind] += 1
                right[fact.kind] += torch.equal(guesses[row, start - 1 : end - 1], ids[row, start:end])
    return sum(right.values()) / sum(asked.values()), {k: (right[k], asked[k]) for k in sorted(asked)}
