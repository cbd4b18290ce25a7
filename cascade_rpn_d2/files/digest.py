"""Digests of files."""

from __future__ import annotations

import hashlib
import os


def sha256_of(file: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises:
        OSError: if it cannot be read.
    """
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
