"""The bytes of a proposal file: arrays in a numpy ``.npz`` archive, read and written in blocks.

Proposals of COCO's training images take gigabytes, so neither side holds more of them in memory
than it keeps. Nothing is unpickled, and nothing is larger than the file, so a file from a stranger
can be read.

Shape shorthand: I images, M proposals of all images together.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..files.untrusted import open_archive, other_kind, parse_json, shown

FORMAT = "cascade_rpn_d2 proposals"
VERSION = 1
_MEMBERS = ("boxes", "objectness_logits", "offsets", "ids", "file_names", "metadata")
_BLOCK = 1 << 18  # rows, of 16 bytes for boxes, that are read at once

Ids = Sequence[int] | Sequence[str]


class ProposalFileError(ValueError):
    """A file of proposals cannot be used; the message names the file and the flaw."""


class Index(NamedTuple):
    """Which images a file has proposals of.

    Attributes:
        ids: of the I images, all numbers or all texts.
        file_names: of the images, without folders; I, or none if they are not known.
        offsets: (I + 1,) int64, image i has the rows ``offsets[i]`` to before ``offsets[i + 1]``.
        metadata: what json can hold.
    """

    ids: Ids
    file_names: Sequence[str]
    offsets: np.ndarray
    metadata: dict[str, Any]


def write_archive(
    file: IO[bytes],
    index: Index,
    boxes: Iterable[np.ndarray],
    logits: Iterable[np.ndarray],
) -> None:
    """Write an archive; equal contents give equal bytes.

    Args:
        file: binary, open for writing.
        index: of what is written.
        boxes: blocks (m, 4) whose rows together are the M boxes.
        logits: blocks (m,), likewise.
    """
    text = json.dumps({"format": FORMAT, "version": VERSION, **index.metadata}, sort_keys=True)
    count = int(index.offsets[-1])
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in {
            "metadata": np.array(text),
            "ids": ids_to_array(index.ids),
            "file_names": np.array(index.file_names, np.str_),
            "offsets": np.asarray(index.offsets, np.int64),
        }.items():
            _write_member(archive, name, array.dtype, array.shape, [array])
        _write_member(archive, "boxes", np.dtype("<f4"), (count, 4), boxes)
        _write_member(archive, "objectness_logits", np.dtype("<f4"), (count,), logits)


def read_index(path: Path) -> Index:
    """Which images a file has proposals of, without the proposals.

    Raises:
        ProposalFileError: if it is no such file, damaged, or of another version.
        OSError: if it cannot be read.
    """
    try:
        with open_archive(path) as archive:
            absent = [name for name in _MEMBERS if f"{name}.npy" not in archive.namelist()]
            if absent:
                raise ProposalFileError(
                    f"{path} is no file of proposals, it has no '{absent[0]}': write one with "
                    "`cascade-rpn dump-proposals`."
                )
            metadata = _metadata(path, _read_member(path, archive, "metadata"))
            ids = _read_member(path, archive, "ids")
            names = _read_member(path, archive, "file_names")
            offsets = _read_member(path, archive, "offsets")
    except ProposalFileError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error
    if ids.ndim != 1 or ids.dtype.kind not in "iuU":
        raise _not_adding_up(path, f"its ids are {ids.dtype} of shape {ids.shape}")
    if names.dtype.kind != "U" or names.shape not in ((0,), ids.shape):
        raise _not_adding_up(path, f"its file_names are {names.dtype} of shape {names.shape}")
    if offsets.shape != (len(ids) + 1,) or offsets.dtype.kind not in "iu":
        raise _not_adding_up(path, f"it has {len(ids)} ids and offsets of shape {offsets.shape}")
    for integers, what in ((ids, "id"), (offsets, "offset")):
        # Larger ones would become negative.
        if integers.dtype.kind == "u" and (integers > np.iinfo(np.int64).max).any():
            raise _not_adding_up(path, f"its {what} {integers.max()} is beyond int64")
    offsets = offsets.astype(np.int64)
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise _not_adding_up(path, "its offsets do not ascend from 0")
    return Index(ids.tolist(), names.tolist(), offsets, metadata)


def read_rows(
    path: Path, offsets: np.ndarray, topk: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first ``topk`` proposals of every image.

    Args:
        path: an archive.
        offsets: (I + 1,) of its :class:`Index`.
        topk: None for all.

    Returns:
        Boxes (m, 4) float32, logits (m,) float32, and their offsets (I + 1,).

    Raises:
        ProposalFileError: if the file is damaged.
        OSError: if it cannot be read.
    """
    count = int(offsets[-1])
    kept: dict[str, list[np.ndarray]] = {"boxes": [], "objectness_logits": []}
    try:
        with open_archive(path) as archive:
            for name, blocks in kept.items():
                shape = (count, 4) if name == "boxes" else (count,)
                for first, block in _read_blocks(path, archive, name, shape):
                    if topk is not None:
                        rows = np.arange(first, first + len(block))
                        image = np.searchsorted(offsets, rows, side="right") - 1
                        block = block[rows - offsets[image] < topk]
                    blocks.append(block)
    except ProposalFileError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error
    counts = np.diff(offsets) if topk is None else np.minimum(np.diff(offsets), topk)
    boxes = np.concatenate([np.empty((0, 4), np.float32), *kept["boxes"]])
    logits = np.concatenate([np.empty(0, np.float32), *kept["objectness_logits"]])
    return boxes, logits, counts_to_offsets(counts)


def counts_to_offsets(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """(I,) numbers of proposals -> (I + 1,) int64 offsets."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))]).astype(np.int64)


def ids_to_array(ids: Ids) -> np.ndarray:
    """Ids as an array that needs no pickle: int64, or texts of one length.

    Raises:
        ProposalFileError: if they are neither all whole numbers of int64 nor all texts.
    """
    if all(isinstance(i, str) for i in ids) and len(ids):
        return np.array(ids, np.str_)
    if all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in ids):
        try:
            return np.array(ids, np.int64)
        except OverflowError:
            beyond = next(i for i in ids if not -(2**63) <= int(i) < 2**63)
            raise ProposalFileError(
                f"image id {shown(beyond)} is beyond int64: number the images anew."
            ) from None
    raise ProposalFileError("image ids must be all whole numbers or all texts.")


def _write_member(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype,
    shape: tuple[int, ...],
    blocks: Iterable[np.ndarray],
) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    # A ZipInfo of its own has no time of day in it.
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for block in blocks:
            stream.write(np.asarray(block, dtype).tobytes())


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        shape, dtype = _read_header(path, archive, stream, name)
        return np.frombuffer(stream.read(), dtype).reshape(shape)


def _read_header(
    path: Path, archive: zipfile.ZipFile, stream: IO[bytes], name: str
) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, for which the member has as many bytes as it takes."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise _not_adding_up(path, f"its {name} have another header")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran or dtype.hasobject or not dtype.itemsize or min(shape, default=0) < 0:
        raise _not_adding_up(path, f"its {name} are {dtype} of shape {shape}")
    rest = archive.getinfo(f"{name}.npy").file_size - stream.tell()
    if rest != math.prod(shape) * dtype.itemsize:
        raise _not_adding_up(path, f"its {name} are {dtype} {shape} in {rest} bytes")
    return shape, dtype


def _read_blocks(
    path: Path, archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first row, rows) of a float32 member; its checksum is compared on the way."""
    with archive.open(f"{name}.npy") as stream:
        found, dtype = _read_header(path, archive, stream, name)
        if found != shape or dtype != np.dtype("<f4"):
            raise _not_adding_up(path, f"its {name} are {dtype} {found}, not float32 {shape}")
        width = 4 * (shape[1] if len(shape) > 1 else 1)
        for first in range(0, shape[0], _BLOCK):
            rows = min(_BLOCK, shape[0] - first)
            content = stream.read(rows * width)
            if len(content) < rows * width:
                raise EOFError(f"{name} end early")
            yield first, np.frombuffer(content, "<f4").reshape(rows, *shape[1:])
        stream.read(1)  # at the end the checksum is compared


def _metadata(path: Path, array: np.ndarray) -> dict[str, Any]:
    try:
        metadata = parse_json(str(array[()]).encode(), str(path))
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ProposalFileError(
            f"{path} is no file of proposals, its metadata are of something else: write one with "
            "`cascade-rpn dump-proposals`."
        )
    if metadata.get("version") != VERSION:
        raise ProposalFileError(
            f"{path} has version {shown(metadata.get('version'))} of the format, and this package "
            f"reads version {VERSION}: install the package that wrote it, or dump the proposals "
            "again."
        )
    return metadata


def _unreadable(path: Path, error: Exception) -> Exception:
    """The sentence for whatever a broken archive makes numpy and zipfile raise."""
    if isinstance(error, OSError):
        return OSError(f"{path} cannot be read ({error.strerror or error}).")
    if isinstance(error, zipfile.BadZipFile) and not zipfile.is_zipfile(path):
        kind = other_kind(path)
        if kind:
            return ProposalFileError(f"{path} {kind}.")
        return ProposalFileError(
            f"{path} is no file of proposals, or the end of it is missing: write one with "
            "`cascade-rpn dump-proposals`, or copy it again."
        )
    if str(error).startswith(f"{path} "):  # a sentence
        return ProposalFileError(str(error))
    damaged = isinstance(error, zipfile.BadZipFile | zlib.error)
    kind = "its checksum is wrong" if damaged else shown(error)
    return ProposalFileError(
        f"{path} is damaged ({kind}): copy it again, or dump the proposals again."
    )


def _not_adding_up(path: Path, what: str) -> ProposalFileError:
    return ProposalFileError(
        f"{path} does not add up ({what}): copy it again, or dump the proposals again."
    )
