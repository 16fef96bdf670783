#!/usr/bin/env python3
"""Writes README.md, with the course of training as loss.svg, into an exported folder.

  model_card.py models/bundled/tales --evaluation evaluation.json [--sample sample.txt] [--note TEXT]

What was trained how comes from training.json and training_log.csv of the folder; the evaluation is
the last line of evaluate_recall.py, the sample a text that the model wrote.
"""
import argparse
import csv
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import batches

WIDTH, HEIGHT, MARGIN = 640, 280, 48

CARD = """---
license: cc0-1.0
language: en
pipeline_tag: text-generation
tags: [mamba, text-generation, fairy-tales, chat]
---
# {name}

A small {family} language model that writes English in the manner of old fairy tales, tells
short stories when asked, and remembers what it is told. It ships with krait so that there is
something to run without a download.

| | |
|---|---|
| parameters | {parameters:,} |
| shape | {shape} |
| vocabulary | {vocab_size} tokens, byte-level BPE trained on the books, with five special tokens |
| weights | bfloat16 (parameters of the recurrence float32), head tied to the embedding |
| state | constant size: {state_bytes:,} bytes in float32, whatever the length of the text |

## Results

| measured on the weights of this folder | |
|---|---|
| held-out text ({held_out_bytes:,} bytes), windows of 1024 tokens from an empty state | {bits:.4f} bits per byte |
{recall}
| longest span shared with the training text, {samples} sampled continuations of up to 300 tokens | median {copy_median}, longest {copy_longest} tokens |

Facts are told at the beginning of a conversation and asked for after the tales. A fact counts as
recalled when the whole answer is exactly right under greedy decoding. Training never told these
facts, and some of the names not at all.

![The course of training](loss.svg)

## Training

- Text: {train_bytes:,} bytes in {train_documents} documents ({train_tokens:,} tokens) from the books below.
  Tables of contents and editors' notes were removed; documents end with `<|endoftext|>`. The last
  3% of every book were held out, from the tokenizer too.
- First the text alone.{first}
- Then conversations, generated while training (`tools/train/conversations.py`), beside windows of
  {window} tokens of text, {text_share:.0%} of a batch. A small world of people, animals, places and
  things gives facts to tell and to ask for; between them come talk, short tales made from plots and
  passages from the books. They grow from one fact, asked for at once in 64 tokens, to {facts}
  between tales in {longest}; the next level begins when {solved:.0%} of the answers are right.
- For long memory, tales count as longer than they are in {dilated:.0%} of the conversations: their steps of
  the recurrence are multiplied, up to what {dilated_tokens:,} tokens would do to the state.
- Second phase: {steps:,} steps of {batch_tokens} tokens, {tokens:,} tokens. AdamW (betas 0.9 and 0.98, weight
  decay {weight_decay} on matrices), learning rate {learning_rate} after {warmup} steps, falling over the
  last 30%; products in bfloat16, recurrence in float32. Seed {seed}. Hardware: {hardware};
  {minutes:.0f} minutes. PyTorch {torch}.
- Made by `tools/train_bundled.py`.{note}

## Conversations

`chat_template.jinja` writes a turn as `<|user|>TEXT<|end|>` or `<|assistant|>TEXT<|end|>`; the
answer ends with `<|end|>`.

{sample}
## Limits

It knows these books and the small world of its conversations. Stories keep together for a
paragraph, and many follow the same few plots. It remembers short statements of the kinds it was
trained on (where things are, names, colours, numbers, what someone loves); other
questions get an answer in the same style, right or wrong. The books are of the 19th and early
20th century, and so are their manners and prejudices; the model can reproduce both, as well as
short passages from the books.

## Licence

The books are in the public domain in the United States. The weights, tokenizer and this card
are dedicated to the public domain under CC0 1.0.

## Books

{books}
"""


def book_title(stem):
    """Peter-Pan_16 -> Peter Pan (Project Gutenberg 16)"""
    title, _, number = stem.partition("_")
    title = title.replace("-s-", "'s-").replace("-", " ")
    return f"{title} (Project Gutenberg {number})" if number else title


def polyline(points, low, high, colour):
    """points (x in 0..1, y) as a line between low and high."""
    def place(x, y):
        inner = HEIGHT - 2 * MARGIN
        return f"{MARGIN + x * (WIDTH - 2 * MARGIN):.1f},{MARGIN + inner * (high - y) / (high - low):.1f}"

    path = " ".join(place(x, y) for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>'


def picture(rows):
    """Loss of text and share of right answers over the tokens trained on."""
    most = max(int(r["tokens"]) for r in rows)

    def course(column):
        return [(int(r["tokens"]) / most, float(r[column])) for r in rows if r[column] != "nan"]

    curve, right = course("text_loss"), course("answers_right")
    low, high = 2.0, 5.0
    text = 'font-family="sans-serif" font-size="12"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for i in range(5):
        y = MARGIN + (HEIGHT - 2 * MARGIN) * i / 4
        lines.append(f'<path stroke="#ddd" d="M{MARGIN} {y:.1f}H{WIDTH - MARGIN}"/>')
        lines.append(f'<text {text} x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#1f5fa8">'
                     f'{high - (high - low) * i / 4:.2f}</text>')
        lines.append(f'<text {text} x="{WIDTH - MARGIN + 6}" y="{y + 4:.1f}" fill="#b3541e">{100 - 25 * i}%</text>')
    for (x, _), row, before in zip(right[1:], rows[1:], rows):
        if row["level"] != before["level"]:
            x = MARGIN + x * (WIDTH - 2 * MARGIN)
            lines.append(f'<path stroke="#bbb" stroke-dasharray="3" d="M{x:.1f} {MARGIN}V{HEIGHT - MARGIN}"/>')
    lines.append(polyline([(x, min(y, high)) for x, y in curve], low, high, "#1f5fa8"))
    lines.append(polyline(right, 0.0, 1.0, "#b3541e"))
    lines.append(f'<text {text} x="{MARGIN}" y="24" fill="#1f5fa8">loss of text, nats per token</text>')
    lines.append(f'<text {text} x="{WIDTH - MARGIN}" y="24" text-anchor="end" fill="#b3541e">'
                 'answers right; dashed: the next level</text>')
    lines.append(f'<text {text} x="{WIDTH / 2}" y="{HEIGHT - 16}" text-anchor="middle" fill="#444">'
                 f'tokens trained on, to {most / 1e6:.1f} million</text>')
    return "\n".join(lines + ["</svg>"]) + "\n"


def shape_of(config):
    """The shape as a line, and the bytes of the state."""
    d_inner, layers, taps = config["expand"] * config["hidden_size"], config["num_hidden_layers"], config["conv_kernel"]
    common = f"d_model {config['hidden_size']}, n_layer {layers}, d_inner {d_inner}, d_state {config['state_size']}"
    if config["model_type"] == "mamba":
        state = d_inner * (config["state_size"] + taps - 1)
        return f"{common}, d_conv {taps}, dt_rank {config['time_step_rank']}", 4 * layers * state
    state = d_inner * config["state_size"] + (d_inner + 2 * config["state_size"]) * (taps - 1)
    return f"{common}, d_conv {taps}, n_heads {config['num_heads']}, head_dim {config['head_dim']}", 4 * layers * state


def quoted(text):
    return "> " + text.strip().replace("\n", "\n> ") + "\n" if text else ""


def told(facts):
    return "the only one told" if facts == 1 else f"{facts} told in a conversation"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--evaluation", required=True, type=pathlib.Path)
    parser.add_argument("--sample", type=pathlib.Path)
    parser.add_argument("--first", default="", help="a sentence about the training of --init")
    parser.add_argument("--note", default="")
    args = parser.parse_args()

    def read(name):
        return json.loads((args.folder / name).read_text(encoding="utf-8"))

    config, training = read("config.json"), read("training.json")
    evaluation = json.loads(args.evaluation.read_text(encoding="utf-8").strip().splitlines()[-1])
    copying = evaluation["copying"]
    shape, state_bytes = shape_of(config)
    recall = "\n".join(
        f"| held-out facts recalled after {r['after']} of tales, {told(r['facts'])} | {r['share']:.1%} of {r['count']} |"
        for r in evaluation["recall"])
    options = training["arguments"]
    card = CARD.format(
        name=args.folder.name, family="Mamba-1" if config["model_type"] == "mamba" else "Mamba-2", shape=shape,
        state_bytes=state_bytes, vocab_size=config["vocab_size"], bits=evaluation["held_out_bits_per_byte"],
        recall=recall, samples=copying["samples"], copy_median=copying["median_tokens"],
        copy_longest=copying["longest_tokens"], note=f"\n- {args.note}" if args.note else "",
        first=f" {args.first}" if args.first else "", longest=batches.LEVELS[-1].length, facts=batches.LEVELS[-1].facts,
        sample=quoted(args.sample.read_text(encoding="utf-8") if args.sample else ""),
        **{k: options[k] for k in ("window", "text_share", "solved", "dilated", "dilated_tokens", "batch_tokens",
                                   "weight_decay", "learning_rate", "warmup", "seed")},
        **{k: training[k] for k in ("parameters", "held_out_bytes", "train_bytes", "train_documents", "train_tokens",
                                    "steps", "tokens", "hardware", "minutes", "torch")},
        books="\n".join(f"- {book_title(stem)}" for stem in training["books"]))
    (args.folder / "README.md").write_text(card, encoding="utf-8")
    rows = list(csv.DictReader((args.folder / "training_log.csv").read_text(encoding="utf-8").splitlines()))
    (args.folder / "loss.svg").write_text(picture(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
