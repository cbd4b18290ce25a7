"""Pickles of arrays, read without running anything that is in them.

A pickle is a program: it names functions and calls them. Detectron2's weights (``.pkl``) and files
of proposals are pickles all the same, of which this reader understands what arrays and plain Python
values need, of any protocol, Python 2's included, and nothing else. It looks up no name and calls
nothing but functions of its own.
"""

from __future__ import annotations

import functools
import math
import os
import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .untrusted import PathLike, other_kind, shown

# Booleans, integers, floats, complex numbers and texts of a stated width.
_DTYPE = re.compile(r"[<>=|]?([biufc][1-9]\d?|[SU][1-9]\d{0,6})")
_MAX_DEPTH = 64  # containers in each other
# Python's own unpickler in Python; typeshed does not say what it consists of.
_Unpickler: Any = pickle._Unpickler


def read_pickle(path: PathLike) -> Any:
    """What a pickle of arrays and plain values holds.

    Args:
        path: a pickle of numbers, texts, bytes, None, lists, tuples, dicts (ordered ones become
            plain), sets, and numpy's arrays and scalars of these. Texts of Python 2 are read as
            Latin-1, as Detectron2 does.

    Raises:
        ValueError: if it names anything else, is damaged or no pickle, or would take more memory
            than its size; one sentence with the file's name.
        OSError: if it cannot be read.
    """
    kind = other_kind(path)
    if kind:
        raise ValueError(f"{path} {kind}.")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        # A pickle may ask for more bytes than there are, and Python would make room for them.
        bounded = SimpleNamespace(
            read=lambda count: file.read(min(count, size)), readline=file.readline
        )
        try:
            return _ArrayUnpickler(bounded, size).load()
        except _Refused as error:
            raise ValueError(f"{path} {error}.") from None
        except OSError:
            raise
        except Exception as error:  # a damaged pickle can raise anything
            raise ValueError(
                f"{path} is damaged or no pickle: copy or download it again, or give another."
            ) from error


class _Refused(Exception):
    """The end of a sentence that begins with the file's name."""


class _Dtype:
    """A type of numbers; its byte order comes later."""

    def __init__(self, code: object) -> None:
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise _Refused(
                f"has an array of '{shown(code)}', neither numbers nor texts: have it written "
                "without"
            )
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        _, order, *_ = state
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """The place of an array, whose values come later."""

    value: np.ndarray | None = None


class _Global:
    """What a name in a pickle stands for: a function of ours that takes the unpickler first."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make


class _ArrayUnpickler(_Unpickler):
    """Python's unpickler without what calls foreign things.

    The one in C would reserve memory for as many values as a pickle says that it numbers.
    """

    def __init__(self, file: Any, size: int) -> None:
        super().__init__(file, encoding="latin1")
        # What may still be copied: as bytes and, of these, as an array.
        self._left = 2 * size

    def charge(self, content: Any, *kinds: type) -> Any:
        """The same content, of which a file may have one but ask for many copies."""
        if not isinstance(content, kinds):
            raise pickle.UnpicklingError("something else to copy")
        self._left -= len(content)  # type: ignore[arg-type]
        if self._left < 0:
            raise _Refused("would take more memory than its size: copy or download it again")
        return content

    def load(self) -> Any:
        return _without_places(super().load(), {}, 0)

    def find_class(self, module: str, name: str) -> _Global:
        found = _GLOBALS.get((module, name))
        if found is None:
            raise _Refused(
                f"names {shown(f'{module}.{name}')}, which arrays do not need, so that nothing of "
                "it was read or run: ask its author for a file with arrays alone"
            )
        return found

    def to_bytes(self, content: Any = b"", encoding: str = "latin1") -> bytes:
        """Bytes, which protocols before 3 have as a text, and Python 2 as its own texts."""
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("bytes of another encoding")
        content = self.charge(content, str, bytes, bytearray)
        return content.encode("latin1") if isinstance(content, str) else bytes(content)

    def to_array(self, dtype: Any, shape: Any, fortran: Any, raw: Any) -> np.ndarray:
        """An array of ``shape`` with the values in ``raw``."""
        if not all(type(side) is int and side >= 0 for side in shape):
            raise pickle.UnpicklingError("an array has no shape")
        data = self.to_bytes(raw)
        if len(data) != math.prod(shape) * dtype.dtype.itemsize:
            raise pickle.UnpicklingError("an array has another size")
        array: Any = np.empty(0, dtype.dtype)
        array.__setstate__((1, tuple(shape), dtype.dtype, bool(fortran), data))
        return array

    def members(self, items: Any = ()) -> list[Any]:
        """Members of a set."""
        return list(_plain(self.charge(items, list, tuple, set)))

    def to_dict(self, pairs: Any = ()) -> Any:
        """A dict of pairs, as Python 2 has ordered ones."""
        pairs = self.charge(pairs, list, tuple)
        return dict(
            zip(_plain(key for key, _ in pairs), (value for _, value in pairs), strict=True)
        )

    def to_array_of_5(
        self, raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = ()
    ) -> np.ndarray:
        """An array as protocol 5 has it; ``order`` K comes with the order of the axes in memory."""
        if order != "K":
            return self.to_array(dtype, shape, order == "F", raw)
        return self.to_array(dtype, shape, False, raw).transpose(axes)

    # What follows answers one code of a pickle each.

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global):
            raise pickle.UnpicklingError("a call of a value")
        self.append(function.make(self, *arguments))

    def load_build(self) -> None:
        state, place = self.stack.pop(), self.stack[-1]
        if isinstance(place, _Array):
            # Version, then as to_array() takes them; the oldest numpy left out the version.
            shape, dtype, fortran, raw = state[-4:]
            place.value = self.to_array(dtype, shape, fortran, raw)
        elif isinstance(place, _Dtype):
            place.build(state)
        elif type(place) is not dict:  # a dict may have attributes, such as a state dict's versions
            raise pickle.UnpicklingError("a state without an object")

    def load_inst(self) -> None:
        """The oldest way to make an object names its class within the code."""
        module, name = (self.readline()[:-1].decode("latin1") for _ in range(2))
        self.find_class(module, name)
        raise pickle.UnpicklingError("an object")

    def load_bytearray8(self) -> None:
        count = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(count)))

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(dict(zip(_plain(items[::2]), items[1::2], strict=True)))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._top_dict().update(zip(_plain([key]), [value], strict=True))

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._top_dict().update(zip(_plain(items[::2]), items[1::2], strict=True))

    def load_additems(self) -> None:
        items = self.pop_mark()
        self.stack[-1] |= set(_plain(items))

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self.append(frozenset(_plain(items)))

    def _top_dict(self) -> Any:
        target = self.stack[-1]
        if type(target) is not dict:
            raise pickle.UnpicklingError("items without a dict")
        return target

    _CODES = (
        "PROTO FRAME STOP MARK POP POP_MARK DUP "
        "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
        "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
        "BINBYTES SHORT_BINBYTES BINBYTES8 "
        "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT "
        "EMPTY_SET GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL"
    )
    dispatch = {
        code: _Unpickler.dispatch[code]
        for code in (getattr(pickle, name)[0] for name in _CODES.split())
    } | {
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.INST[0]: load_inst,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
    }


def _plain(keys: Iterable[Any]) -> Iterator[Any]:
    """Keys without containers, of which finding the hash may take the stack of the process."""
    for key in keys:
        if not isinstance(key, str | bytes | int | float | np.generic | None):
            raise _Refused("has a list or the like as a key: have it written without")
        yield key


def _without_places(value: Any, done: dict[int, Any], depth: int) -> Any:
    """The same value with the arrays in their places."""
    if isinstance(value, _Array):
        if value.value is None:
            raise pickle.UnpicklingError("an array without values")
        return value.value
    if isinstance(value, _Dtype):
        return value.dtype
    if isinstance(value, _Global):
        return None  # a type that is named beside the arrays
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) in done:
        return done[id(value)]
    if depth == _MAX_DEPTH:
        raise _Refused(f"has lists or dicts more than {_MAX_DEPTH} deep in each other")
    inner = functools.partial(_without_places, done=done, depth=depth + 1)
    done[id(value)] = value
    if isinstance(value, dict):
        for key in value:
            value[key] = inner(value[key])
    elif isinstance(value, list):
        value[:] = map(inner, value)
    else:
        done[id(value)] = tuple(map(inner, value))
    return done[id(value)]


def _refuse_call(*_: Any) -> None:
    raise pickle.UnpicklingError("a call of a type")


_MAKERS: dict[str, Callable[..., Any]] = {
    "numpy ndarray": _refuse_call,
    "numpy dtype": lambda _, code, *flags: _Dtype(code),
    "numpy.*core.multiarray _reconstruct": lambda *_: _Array(),
    "numpy.*core.multiarray scalar": lambda reader, dtype, raw: reader.to_array(dtype, (), 0, raw)[
        ()
    ],
    "numpy.*core.numeric _frombuffer": _ArrayUnpickler.to_array_of_5,
    "_codecs encode": _ArrayUnpickler.to_bytes,
    "collections OrderedDict": _ArrayUnpickler.to_dict,
    "builtins dict": _ArrayUnpickler.to_dict,
    "builtins list": _refuse_call,
    "builtins tuple": _refuse_call,
    "builtins set": lambda reader, items=(): set(reader.members(items)),
    "builtins frozenset": lambda reader, items=(): frozenset(reader.members(items)),
    "builtins bytes": _ArrayUnpickler.to_bytes,
    "builtins bytearray": _ArrayUnpickler.to_bytes,
    "builtins complex": lambda _, real=0.0, imaginary=0.0: complex(real, imaginary),
}


def _both_names(name: str) -> tuple[str, str]:
    """As numpy before 2 and since have it, or Python 3 and 2."""
    if name.startswith("builtins"):
        return name, name.replace("builtins", "__builtin__")
    return name.replace("*", ""), name.replace("*", "_")


_GLOBALS = {
    tuple(alias.split()): _Global(make)
    for name, make in _MAKERS.items()
    for alias in _both_names(name)
}
