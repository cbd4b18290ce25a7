"""Pickles of arrays are read whatever wrote them; others run nothing and take no memory."""

from __future__ import annotations

import os
import pickle
import re
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade_rpn_d2.files.pickles import read_pickle


def write(folder: Path, content: bytes) -> Path:
    path = folder / "theirs.pkl"
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    """What is said of a pickle after its name, in one line without control characters."""
    with pytest.raises(ValueError) as caught:
        read_pickle(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ") and message.endswith(".") and message.isprintable()
    return message.removeprefix(f"{path} ")


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        assert type(found) is np.ndarray and np.array_equal(found, expected)
        assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected) and len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_equal(a, b)
    else:
        assert found == expected and type(found) is type(expected)


SHARED = np.arange(4, dtype=np.float16)
CONTENT = {
    "model": OrderedDict(weight=SHARED, bias=np.float32(0.5), tied=SHARED, none=np.zeros((0, 3))),
    "__author__": "Zoë",
    "arrays": [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0),
        np.arange(3, dtype=">i8"),
        np.array(3.0),
        np.array([True, False]),
        np.array(["ab", "é"]),
        np.array([b"ab", b"\xff"]),
    ],
    "plain": (None, True, -70_000, 2**70, 1.5, 1j, b"\x00\xff", b"", {1, "a"}, frozenset([2])),
    5: {"inner": [(), [], {}]},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_of_all_protocols_are_read(tmp_path, protocol):
    found = read_pickle(write(tmp_path, pickle.dumps(CONTENT, protocol)))
    assert_equal(found, CONTENT)
    assert type(found["model"]) is dict
    assert found["model"]["weight"] is found["model"]["tied"]


def test_the_files_of_python_2_and_numpy_1_are_read(tmp_path):
    values = np.array([[1.5, -2.0, 1e-3], [3e8, 0.0, 255.0]], "<f4")
    raw = values.tobytes()
    content = (
        b"\x80\x02}q\x00(U\x05modelq\x01ccollections\nOrderedDict\nq\x02]q\x03]q\x04(U\x01w"
        b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87R"
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x07U\x02f4K\x00K\x01\x87Rq\x08"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", len(raw)) + raw + b"tbea\x85R"
        b"U\x0a__author__U\x03Zo\xebu."
    )
    expected = {"model": {"w": values}, "__author__": "Zoë"}
    assert_equal(pickle.loads(content, encoding="latin1"), expected)
    assert_equal(read_pickle(write(tmp_path, content)), expected)


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def payloads(marker: Path) -> dict[str, bytes]:
    """Name that is refused -> a pickle that makes a file where it is read by Python."""
    command = f"touch {marker}"
    text = command.encode()
    python = f"open({str(marker)!r}, 'w')"
    dumped = {
        "posix.system": Calls(os.system, command),
        "builtins.exec": Calls(exec, python),
        "builtins.eval": Calls(eval, python),
    }
    return {name: pickle.dumps({"model": {"a": call}}) for name, call in dumped.items()} | {
        "os.system": b"cos\nsystem\n(V" + text + b"\ntR.",
        "os.popen": b"(S'" + text + b"'\nios\npopen\n.",  # INST
        "subprocess.getoutput": b"(csubprocess\ngetoutput\nV" + text + b"\no.",  # OBJ
        "subprocess.Popen": b"\x80\x02csubprocess\nPopen\n(V" + text + b"\nI-1\nNNNNI1\nI1\nt\x81.",
        # Through a name that is allowed.
        "numpy.f2py.os.system": b"\x80\x04\x8c\x05numpy\x8c\x0ef2py.os.system\x93(V"
        + text
        + b"\ntR.",
    }


@pytest.mark.parametrize("name", payloads(Path()))
def test_other_names_are_refused_by_name_and_nothing_is_run(tmp_path, name):
    marker = tmp_path / "marker"
    path = write(tmp_path, payloads(marker)[name])
    assert f"names {name}, which arrays do not need" in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["posix.system", "builtins.exec", "os.system", "os.popen"])
def test_the_payloads_of_these_tests_would_run(tmp_path, name):
    marker = tmp_path / "marker"
    content = payloads(marker)[name]
    found = pickle.loads(content)
    if name == "os.popen":
        found.close()
    assert marker.exists()


def test_a_name_in_a_file_cannot_speak_to_the_terminal(tmp_path):
    message = refusal(write(tmp_path, b"c\x1b[2J\n" + b"x" * 500 + b"\n."))
    assert len(message) < 250


DTYPE = b"cnumpy\ndtype\n(Vf4\nI0\nI1\ntR"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cnumpy\nndarray\n(I9\ntR.", "damaged or no pickle"),  # would reserve memory
        (b"cbuiltins\nbytearray\n(I9\ntR.", "damaged or no pickle"),
        (b"cbuiltins\nlist\n((I1\nltR.", "damaged or no pickle"),
        (b"cbuiltins\nset\n}Va\nI1\nsb.", "damaged or no pickle"),  # would change our own table
        (b"\x80\x02cbuiltins\nset\n)\x81.", "damaged or no pickle"),
        (b"cnumpy\ndtype\n(VO8\ntR.", "an array of 'O8', neither numbers nor texts"),
        (b"cnumpy\ndtype\n(VS0\ntR.", "an array of 'S0'"),
        (b"cnumpy\ndtype\n(V(99999,)f4\ntR.", "an array of '(99999,)f4'"),
        (b"cnumpy\ndtype\n(V\\u001b[2J\ntR.", "neither numbers nor texts"),
        (RECONSTRUCT + b".", "damaged or no pickle"),
        (RECONSTRUCT + b"(I1\n(I9\nt" + DTYPE + b"I00\nVabcd\ntb.", "damaged or no pickle"),
        (RECONSTRUCT + b"(I1\n(I-1\nt" + DTYPE + b"I00\nVabcd\ntb.", "damaged or no pickle"),
        (b"}(I1\ntI2\ns.", "has a list or the like as a key"),
        (b"]" * 100 + b"a" * 99 + b".", "lists or dicts more than 64 deep in each other"),
        (b"]p0\ng0\na.", None),  # a list of itself
        (b"\x82\x01.", "damaged or no pickle"),  # an extension
        (b"Vx\nQ.", "damaged or no pickle"),  # something kept elsewhere
        (pickle.dumps(CONTENT)[:-200], "damaged or no pickle"),
        (b"\x80\x04\x00", "damaged or no pickle"),
        (b"", "is empty"),
        (b"<html>", "is an HTML page"),
    ],
)
def test_what_a_pickle_of_arrays_has_not_is_one_sentence(tmp_path, content, said):
    path = write(tmp_path, content)
    if said is None:
        found = read_pickle(path)
        assert found[0] is found
    else:
        assert said in refusal(path)


def _shared_tuples(depth: int) -> bytes:
    return b"N" + b"p0\n0" + b"g0\ng0\n\x86p0\n0" * depth + b"g0\n."


RAW = b"V" + b"x" * 400_000 + b"\np0\n0"
ARRAY = RECONSTRUCT + b"(I1\n(I100000\nt" + DTYPE + b"I00\ng0\ntb"


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # the last of 2^31 numbered values
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"a.",  # bytes
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"a.",  # text
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"a.",  # bytearray
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",  # frame
        RAW + b"](" + ARRAY * 200 + b"e.",  # one text for many arrays
        RAW + b"](" + b"c_codecs\nencode\n(g0\ntR" * 200 + b"e.",
        b"](" + b"I1\n" * 100_000 + b"ep0\n0](" + b"cbuiltins\nset\n(g0\ntR" * 200 + b"e.",
        _shared_tuples(60),
    ],
    ids="memo bytes text bytearray frame arrays encodings sets tuples".split(),
)
def test_a_small_pickle_takes_little_memory(tmp_path, content):
    path = write(tmp_path, content)
    tracemalloc.start()
    try:
        read_pickle(path)
    except ValueError as error:
        assert re.match(rf"{re.escape(str(path))} (is damaged|would take more memory)", str(error))
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 50 * len(content) + 1_000_000
