"""Files of tensors, of PyTorch and of Detectron2, read without running anything that is in them.

What a file is, its first bytes say and not its name. PyTorch's own safe loading refuses a file for
one object of a class that it does not know, such as the settings that frameworks store beside the
weights. Such an object is read as an :class:`_Inert` one: its class is neither imported nor called.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.pickles import read_pickle
from ..files.untrusted import PathLike, open_archive, other_kind, shown

# What torch.save wrote before version 1.6 begins with this number.
_OLD_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
# In what PyTorch says of a file: a class it does not know, and one of our stand-ins that is filled.
_UNKNOWN = re.compile(r"Unsupported global: GLOBAL (\S+) was not")
_FORBIDDEN = re.compile(r"GLOBAL (\S+) whose module")
_FILLED = re.compile(r"Can only (SETITEM|[Aa]ppend|APPEND).*_Inert(\d+)", re.DOTALL)
# Tensors may share their values, or be views of a few; what they may take beyond the file.
_SPARE_BYTES = 1 << 26
_MAX_DEPTH = 64


@dataclass(frozen=True)
class TensorFile:
    """What a file of tensors holds.

    Args:
        content: as it was saved; a file of numpy's arrays has these.
        left_out: full names of the classes whose objects were left out.
        of_torch: whether PyTorch wrote it.
    """

    content: Any
    left_out: tuple[str, ...] = ()
    of_torch: bool = True


class _Inert:
    """In the place of an object of a class unknown to PyTorch: keeps nothing, does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _InertDict(_Inert):
    """In the place of a dict of a class of its own."""

    def __new__(cls, *args: object, **kwargs: object) -> Any:
        return OrderedDict()


class _InertList(_Inert):
    """In the place of a list of a class of its own."""

    def __new__(cls, *args: object, **kwargs: object) -> Any:
        return []


def read_tensor_file(path: PathLike) -> TensorFile:
    """Read a file of :func:`torch.save`, of any age, or a pickle of numpy's arrays.

    Args:
        path: the file.

    Raises:
        ValueError: if it is damaged, something else, holds what cannot be read safely, or would
            take far more memory than its size; one sentence with the file's name.
        OSError: if there is no such file or it cannot be read.
    """
    source = Path(path)
    kind = other_kind(source)
    if kind:
        raise ValueError(f"{source} {kind}.")
    with open(source, "rb") as file:
        beginning = file.read(64)
    if beginning.startswith(b"PK\x03\x04"):
        _require_tensors(source)
    elif _OLD_MAGIC not in beginning:
        if beginning.startswith(b"\x80") or source.suffix in (".pkl", ".pickle"):
            return TensorFile(read_pickle(source), of_torch=False)
        raise ValueError(
            f"{source} is damaged or no checkpoint: give one of PyTorch or Detectron2, or download "
            "it again."
        )
    found = _load(source)
    _require_backed(source, found.content)
    return found


def left_out_words(names: Sequence[str]) -> str:
    """What was left out of a file, to follow its name or "it"."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"has objects of {', '.join(map(shown, names[:3]))}{more}, which are left aside"


def _require_tensors(source: Path) -> None:
    try:
        with open_archive(source, only_names=True) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile:
        raise ValueError(
            f"{source} is damaged, its end is missing: copy or download it again."
        ) from None
    if any(name.endswith(".npy") for name in names):
        raise ValueError(
            f"{source} is an archive of numpy arrays (.npz), not a checkpoint: give the file of "
            "weights."
        )
    if "constants.pkl" in names:
        raise ValueError(
            f"{source} is a program of TorchScript, not a checkpoint: give the weights that it was "
            "made from."
        )
    if "data.pkl" not in names:
        raise ValueError(f"{source} is a zip archive without tensors: unpack it first.")
    open_archive(source).close()


def _load(source: Path) -> TensorFile:
    kinds: dict[str, type[_Inert]] = dict.fromkeys(_unknown_classes(source), _Inert)
    while True:
        names = list(kinds)
        # Classes of their own, as PyTorch's message tells which of them was to be filled.
        stand_ins = [type(f"_Inert{i}", (kinds[name],), {}) for i, name in enumerate(names)]
        try:
            # PyTorch's own safe loading; a name in the list is looked up here and nowhere else.
            with torch.serialization.safe_globals(list(zip(stand_ins, names, strict=True))):
                content = torch.load(source, map_location="cpu", weights_only=True)
            return TensorFile(content, tuple(names))
        except OSError:
            raise
        except Exception as error:  # a damaged pickle can raise anything
            message = str(error)
            unknown, filled = _UNKNOWN.search(message), _FILLED.search(message)
            if unknown:
                # PyTorch leaves out this module in its message.
                name = unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}"
                if name not in kinds:
                    kinds[name] = _Inert
                    continue
            elif filled and kinds[names[int(filled[2])]] is _Inert:
                kind = _InertDict if filled[1] == "SETITEM" else _InertList
                kinds[names[int(filled[2])]] = kind
                continue
            forbidden = _FORBIDDEN.search(message)
            if forbidden:
                raise ValueError(
                    f"{source} holds an object of {shown(forbidden[1])}, which cannot be read "
                    "safely: open the file where it was made and save its weights alone."
                ) from error
            raise ValueError(
                f"{source} is damaged or no checkpoint: copy or download it again, or give another."
            ) from error


def _unknown_classes(source: Path) -> list[str]:
    """Names of what the file refers to and PyTorch does not load by itself."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(str(source))
    except Exception:  # of the format before PyTorch 1.6, or damaged, of which loading says more
        return []


def _require_backed(source: Path, content: object) -> None:
    """Check that tensors are plain ones, and their values in the file."""
    left = 4 * os.path.getsize(source) + _SPARE_BYTES
    for tensor in _tensors(source, content, {}, 0):
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise ValueError(
                f"{source} has a tensor that is sparse, quantized or without values: save the "
                "weights of the model as it was trained."
            )
        left -= tensor.numel() * tensor.element_size()
        if left < 0:
            raise ValueError(
                f"{source} would take far more memory than its size: give another checkpoint, or "
                "save it anew with contiguous tensors."
            )


def _tensors(source: Path, value: object, seen: dict[int, object], depth: int) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
        seen[id(value)] = value
        if depth == _MAX_DEPTH:
            raise ValueError(
                f"{source} has lists or dicts more than {_MAX_DEPTH} deep in each other: save its "
                "weights alone."
            )
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(source, part, seen, depth + 1)
