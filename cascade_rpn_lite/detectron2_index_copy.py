"""Detectron2's copy on the package index, made into a wheel that every Python can install.

The copy is marked for Python 3.10 and holds a library compiled for it and for one torch, which no
other can load; it also refuses numpy 2, with which it runs. All else in it is Python, and equals
Detectron2's own repository of April 2024.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

NAME = "sal-detectron2"
VERSION = "0.7.2"
SHA256 = "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"
TITLE = f"{NAME} {VERSION} without its compiled part"

_WHEEL = """\
Wheel-Version: 1.0
Generator: cascade_rpn_lite
Root-Is-Purelib: true
Tag: py3-none-any
"""
# What an installer leaves beside the files of the wheel.
_OF_THE_INSTALLER = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


def download(pip_install: Sequence[str], folder: Path) -> Path:
    """Download the copy, of which the right SHA-256 is demanded.

    Args:
        pip_install: the command that installs what is named after it, pip's or uv's.
        folder: where to work.

    Returns:
        The folder of the unpacked copy.

    Raises:
        subprocess.CalledProcessError: if it cannot be had, or is another one.
    """
    requirements, unpacked = folder / "requirements.txt", folder / "unpacked"
    requirements.write_text(f"{NAME}=={VERSION} --hash=sha256:{SHA256}\n")
    subprocess.run(
        [
            *pip_install,
            *("--target", str(unpacked), "--no-deps", "--require-hashes"),
            *("--only-binary=:all:", "--python-version=3.10", "--requirement", str(requirements)),
        ],
        check=True,
    )
    return unpacked


def make_wheel(unpacked: Path, folder: Path) -> Path:
    """Write a wheel of what ``download`` unpacked, without its compiled part, to ``folder``."""
    wheel = folder / f"{NAME.replace('-', '_')}-{VERSION}-py3-none-any.whl"
    record = ""
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _contents(unpacked):
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            record += f"{name},sha256={digest.decode()},{len(content)}\n"
            archive.writestr(name, content)
        name = f"{_dist_info(unpacked).name}/RECORD"
        archive.writestr(name, f"{record}{name},,\n")
    return wheel


def _dist_info(unpacked: Path) -> Path:
    (folder,) = unpacked.glob("*.dist-info")
    return folder


def _contents(unpacked: Path) -> Iterator[tuple[str, bytes]]:
    """The files of the wheel but RECORD: their names and what is in them."""
    dist_info = _dist_info(unpacked)
    for file in sorted(unpacked.rglob("*")):
        if file.is_dir() or file.suffix in (".so", ".pyc"):
            continue
        content = file.read_bytes()
        if file.parent == dist_info:
            if file.name in _OF_THE_INSTALLER:
                continue
            if file.name == "WHEEL":
                content = _WHEEL.encode()
            elif file.name == "METADATA":
                content = re.sub(rb"(?m)^(Requires-Dist: numpy)\b.*$", rb"\1", content)
        yield file.relative_to(unpacked).as_posix(), content
