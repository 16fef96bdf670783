"""Jinja as Hugging Face transformers configures it for chat templates."""
import datetime
import functools
import json

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = datetime.datetime(2026, 1, 2, 15, 4, 5)


class Generation(jinja2.ext.Extension):
    """{% generation %}: renders its body, in a scope of its own."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class Raised(jinja2.exceptions.TemplateError):
    """What raise_exception throws."""


def raise_exception(message):
    raise Raised(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def make():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    return environment


@functools.lru_cache
def compiled(environment, source):
    return environment.from_string(source)


def result(environment, source, variables):
    """{"text": ...}, {"raises": message} for raise_exception, or {"fails": what Jinja says}."""
    try:
        return {"text": compiled(environment, source).render(**variables)}
    except Raised as error:
        return {"raises": str(error.message)}
    except Exception as error:  # whatever a template can provoke in Python
        return {"fails": f"{type(error).__name__}: {error}"[:120]}
