#!/usr/bin/env python3
"""Pickles that run code when Python reads them, inside checkpoints that krait reads. Each one first
shows in Python that it works, by making a file, the canary. krait must refuse it with a message and
exit code 2, whatever the container, and the canary must not appear."""

import contextlib
import io
import os
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile
from pathlib import Path

BINARY = os.environ["KRAIT_TEST_BINARY"]
CONFIG = """{"model_type": "mamba", "vocab_size": 8, "hidden_size": 8, "state_size": 4,
"num_hidden_layers": 1, "expand": 2, "conv_kernel": 4, "time_step_rank": 1}"""
PROTO2, PROTO4, STOP = b"\x80\x02", b"\x80\x04", b"."


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def short(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def name(module, of):
    return f"c{module}\n{of}\n".encode()


def stack_name(module, of):
    return short(module) + short(of) + b"\x93"


def call(function, *arguments):
    return function + b"(" + b"".join(arguments) + b"tR"


def attacks(canary):
    """{what it does: the pickle without PROTO and STOP}."""
    touch = text(f"touch '{canary}'")
    write = text(f"open({str(canary)!r}, 'w').close()")
    path, system, evaluate = text(str(canary)), name("os", "system"), name("builtins", "eval")
    namespace = name("argparse", "Namespace") + b")\x81"
    mapped = name("builtins", "map") + b"(" + evaluate + b"](" + write + b"et\x81"
    tensors = name("collections", "OrderedDict") + b")R"

    def with_attribute(attribute, function):
        return namespace + b"}" + text(attribute) + function + b"sb"

    return {
        "os.system": call(system, touch),
        "posix.system": call(name("posix", "system"), touch),
        "os.popen": call(name("os", "popen"), touch),
        "subprocess.check_call": call(name("subprocess", "check_call"),
                                      b"](" + text("touch") + path + b"e"),
        "subprocess.Popen": call(name("subprocess", "Popen"), b"](" + text("touch") + path + b"e"),
        "builtins.eval": call(evaluate, write),
        "__builtin__.eval": call(name("__builtin__", "eval"), write),
        "builtins.exec": call(name("builtins", "exec"), write),
        "builtins.open": call(name("builtins", "open"), path, text("w")),
        "io.open": call(name("io", "open"), path, text("w")),
        "timeit.timeit": call(name("timeit", "timeit"), write, text("pass"),
                              name("time", "perf_counter"), b"K\x01"),
        "cProfile.run": call(name("cProfile", "run"), write),
        "logging.FileHandler": call(name("logging", "FileHandler"), path),
        "shutil.copyfile": call(name("shutil", "copyfile"), text("/dev/null"), path),
        "getattr of an import": call(call(name("builtins", "getattr"), call(
            name("builtins", "__import__"), text("os")), text("system")), touch),
        "INST": b"(" + touch + b"ios\nsystem\n",
        "OBJ": b"(" + system + touch + b"o",
        "NEWOBJ of a map that eval drives": name("builtins", "bytes") + mapped + b"\x85\x81",
        "NEWOBJ_EX of the same": name("builtins", "bytes") + mapped + b"\x85}\x92",
        "NEWOBJ_EX after an allowed dictionary": tensors + b"0" + name("builtins", "bytes")
        + mapped + b"\x85}\x92",
        "BUILD with a __setstate__ set before": with_attribute("__setstate__", system) + touch + b"b",
        "APPEND to what has its own append": with_attribute("append", system) + touch + b"a",
        "ADDITEMS to what has its own add": with_attribute("add", system) + b"(" + touch + b"\x90",
        "STACK_GLOBAL": call(stack_name("os", "system"), touch),
        "STACK_GLOBAL of a dotted name": call(stack_name("pathlib", "Path.touch"),
                                              call(stack_name("pathlib", "Path"), path)),
        "STACK_GLOBAL through an allowed module": call(call(name("builtins", "getattr"), call(
            stack_name("collections", "_sys.modules.get"), text("os")), text("system")), touch),
        "STACK_GLOBAL with names from the memo": text("os") + b"q\x000" + text("system") + b"q\x010"
        + b"h\x00h\x01\x93(" + touch + b"tR",
        "EXT1": call(name("copyreg", "add_extension"), text("os"), text("system"), b"K\xf0")
        + b"0" + call(b"\x82\xf0", touch),
        "EXT2": call(name("copyreg", "add_extension"), text("posix"), text("system"), b"M\xf0\xf0")
        + b"0" + call(b"\x83\xf0\xf0", touch),
        "EXT4": call(name("copyreg", "add_extension"), text("subprocess"),
                     text("getoutput"), b"J" + struct.pack("<i", 70000)) + b"0"
        + call(b"\x84" + struct.pack("<i", 70000), touch),
        "a memo slot that is filled twice": name("collections", "OrderedDict") + b"q\x000" + system
        + b"q\x000h\x00(" + touch + b"tR",
        "PUT and GET": system + b"p0\n0g0\n(" + touch + b"tR",
        "MEMOIZE": system + b"\x940h\x00(" + touch + b"tR",
        "DUP": system + b"2(" + touch + b"tR",
        "a FRAME": b"\x95" + struct.pack("<Q", len(call(system, touch)) + 1) + call(system, touch),
        "inside a persistent id": b"(" + text("storage") + call(system, touch) + text("0")
        + text("cpu") + b"K\x01tQ",
        "beside a text persistent id": b"P0\n0" + call(system, touch),
        "after a thousand nested lists": b"]" * 1000 + call(system, touch),
        "as the key of a dictionary": b"}(" + call(system, touch) + b"K\x01u",
        "as attributes of an allowed dictionary": tensors + b"}" + text("_metadata")
        + call(system, touch) + b"sb",
        "a function handed to an allowed one": call(
            name("torch._tensor", "_rebuild_from_type_v2"), system, name("torch", "Tensor"),
            b"(" + touch + b"t", b"}"),
        "arguments of an allowed one": call(name("collections", "OrderedDict"), b"](]("
                                            + text("a") + call(system, touch) + b"ee"),
        "text opcodes": b"(S'touch " + str(canary).encode() + b"'\ni" + b"os\nsystem\n",
    }


class Torchlike(pickle.Unpickler):
    def persistent_load(self, identity):
        return None


def read_in_python(body):
    """As a program that trusts the file would. Names with dots need protocol 4; names of Python 2 are
    known before it."""
    stubs = {"torch": types.ModuleType("torch"), "torch._tensor": types.ModuleType("torch._tensor")}
    stubs["torch"].Tensor = object
    stubs["torch._tensor"]._rebuild_from_type_v2 = lambda function, kind, arguments, state: \
        function(*arguments)
    sys.modules.update(stubs)
    for header in (PROTO2, PROTO4):
        # Many return what the next opcode cannot use; by then they have done their work.
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            made = Torchlike(io.BytesIO(header + body + STOP)).load()
            if isinstance(made, subprocess.Popen):
                made.wait()
            elif hasattr(made, "close"):
                made.close()
    for module in stubs:
        del sys.modules[module]


def zip_container(pickled):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", bytes(64))
    return file.getvalue()


def legacy_container(pickled, place=3):
    """`place`: which of its pickles; 3 is the object."""
    parts = [PROTO2 + b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", PROTO2 + b"M\xe9\x03.",
             PROTO2 + b"}(" + text("protocol_version") + b"M\xe9\x03" + text("little_endian")
             + b"\x88u.", PROTO2 + b"}.", PROTO2 + b"]."]
    parts[place] = pickled
    return b"".join(parts)


class PickleCanaryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.canary = self.folder / "canary"
        self.model = self.folder / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text(CONFIG)

    def refuse(self, file, expected=r"pytorch_model\.bin.*: pickle byte \d+: .*(is not allowed|expected)"):
        (self.model / "pytorch_model.bin").write_bytes(file)
        done = subprocess.run([BINARY, "info", "-m", str(self.model)], capture_output=True,
                              text=True, errors="replace", timeout=120)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"^error: .*/model\b")
        self.assertRegex(done.stderr, expected)
        self.assertLess(len(done.stderr), 1000)
        self.assertFalse(self.canary.exists(), "the canary is there")

    def test_each_runs_in_python_and_not_in_krait(self):
        storage = (b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu")
                   + b"K\x10tQ")
        tensors = b"}(" + text("w") + call(
            name("torch._utils", "_rebuild_tensor_v2"), storage, b"K\x00", b"(K\x10t", b"(K\x01t",
            b"\x89", name("collections", "OrderedDict") + b")R")
        # Without an attack it is a checkpoint, if not one of this model.
        self.refuse(zip_container(PROTO2 + tensors + b"u" + STOP), "embeddings.weight is missing")
        for what, body in attacks(self.canary).items():
            with self.subTest(what):
                read_in_python(body)
                self.assertTrue(self.canary.exists(), "a dud: Python did not run it either")
                self.canary.unlink()
                self.refuse(zip_container(PROTO2 + tensors + text("x") + body + b"u" + STOP))
                self.refuse(legacy_container(PROTO2 + body + STOP))

    def test_other_protocols(self):
        body = attacks(self.canary)["STACK_GLOBAL"] + STOP
        self.refuse(zip_container(PROTO4 + body), "protocol 4; expected 2")
        self.refuse(zip_container(body), "does not begin with PROTO")

    def test_in_every_pickle_of_a_legacy_file(self):
        body = attacks(self.canary)["os.system"]
        for place in range(1, 5):  # in place of the first it is no PyTorch file
            with self.subTest(place):
                self.refuse(legacy_container(PROTO2 + body + STOP, place))

    def test_a_bare_pickle_is_no_checkpoint(self):
        self.refuse(PROTO2 + attacks(self.canary)["os.system"] + STOP, "pickle|PyTorch")

    def test_a_second_pickle_after_the_first(self):
        self.refuse(zip_container(PROTO2 + b"}." + PROTO2 + attacks(self.canary)["os.system"] + b"."),
                    "bytes|end|tensors|trailing")


if __name__ == "__main__":
    unittest.main()
