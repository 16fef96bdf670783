#!/usr/bin/env python3
"""Golden files for the tests of chat templates, made with Jinja itself.

    make_template_golden.py
        writes the .json files of tests/golden/templates
    make_template_golden.py --expressions 20000 --seed 7 --out FILE
        writes many random expressions; run them with
        KRAIT_TEMPLATE_GOLDEN=FILE test_template --gtest_filter='*FileOfTheDeveloper'
    make_template_golden.py --template FILE.jinja --out FILE
        writes the message lists for that template, with whole texts, to be run likewise

The committed files were made with jinja2 3.1.6 (transformers' settings: template_environment.py)
and the seeds below.
"""
import argparse
import json
import pathlib

import jinja2

import template_environment
import template_expressions
import template_inputs
import template_snippets

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "templates"
INPUTS, INPUT_SEED = 220, 1
EXPRESSIONS, EXPRESSION_SEED = 2500, 2
WHOLE_TEXTS = 3  # of every template; the others are kept as hashes


def fnv1a(text):
    value = 0xcbf29ce484222325
    for byte in text.encode("utf-8"):
        value = (value ^ byte) * 0x100000001b3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write(path, head, key, items):
    """JSON with one item a line; `items` is a list, or a dict of lists."""
    head = {"jinja2": jinja2.__version__, **head}
    if isinstance(items, dict):
        lines = ",\n".join(dump(name) + ":[\n" + ",\n".join(dump(i) for i in each) + "\n]"
                           for name, each in items.items())
        body = "{" + lines + "}"
    else:
        body = "[\n" + ",\n".join(dump(item) for item in items) + "\n]"
    path.write_text(dump(head)[:-1] + f',"{key}":{body}}}\n', encoding="utf-8")
    print(path, path.stat().st_size, "bytes")


def shortened(result, place):
    if "text" not in result or place < WHOLE_TEXTS or len(result["text"]) < 20:
        return result
    return {"hash": fnv1a(result["text"])}


def write_templates(environment):
    inputs = template_inputs.make(INPUTS, INPUT_SEED)
    results = {}
    for path in sorted(GOLDEN.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        made = [template_environment.result(environment, source, each) for each in inputs]
        kinds = [next(iter(each)) for each in made]
        print(path.stem, {kind: kinds.count(kind) for kind in sorted(set(kinds))})
        results[path.stem] = [shortened(each, i) for i, each in enumerate(made)]
    write(GOLDEN / "inputs.json", {"seed": INPUT_SEED}, "inputs", inputs)
    write(GOLDEN / "results.json", {}, "results", results)


def cases_of(environment, sources, variables):
    for source in sources:
        yield {"source": source, **template_environment.result(environment, source, variables)}


def is_beyond_krait(case):
    """What krait's contract says it does otherwise: integers of more than 64 bits, iterators
    (lists in krait); and complex numbers, which it refuses."""
    text = case.get("text", "")
    digits = "".join(c if c.isdigit() else " " for c in text)
    return " object at 0x" in text or "j)" in text or any(len(w) > 18 for w in digits.split())


def expressions(environment, count, seed):
    sources = template_expressions.make(count, seed)
    made = cases_of(environment, sources, template_expressions.VARIABLES)
    return [case for case in made if not is_beyond_krait(case)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--expressions", type=int)
    parser.add_argument("--template", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    environment = template_environment.make()
    if arguments.expressions:
        cases = expressions(environment, arguments.expressions, arguments.seed)
        write(arguments.out, {"variables": template_expressions.VARIABLES}, "cases", cases)
    elif arguments.template:
        source = arguments.template.read_text(encoding="utf-8")
        inputs = template_inputs.make(INPUTS, arguments.seed)
        cases = [{"source": source, "variables": each,
                  **template_environment.result(environment, source, each)} for each in inputs]
        write(arguments.out, {"variables": {}}, "cases", cases)
    else:
        write_templates(environment)
        snippets = list(cases_of(environment, template_snippets.SOURCES,
                                 template_snippets.VARIABLES))
        write(GOLDEN / "snippets.json", {"variables": template_snippets.VARIABLES}, "cases",
              snippets)
        write(GOLDEN / "expressions.json",
              {"seed": EXPRESSION_SEED, "variables": template_expressions.VARIABLES}, "cases",
              expressions(environment, EXPRESSIONS, EXPRESSION_SEED))


if __name__ == "__main__":
    main()
