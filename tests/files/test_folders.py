from __future__ import annotations

import errno
import os
import tempfile

import pytest

from cascade_rpn_d2.files.folders import make_writable


def test_a_folder_is_made_and_left_empty(tmp_path):
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        make_writable(folder, "the folder b", "give another.")
        assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"^Cannot make the folder b \(.*\): give another\.$"):
        make_writable(tmp_path / "file" / "b", "the folder b", "give another.")


def test_a_read_only_folder_is_said(tmp_path, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    sentence = r"^Cannot write to the folder b \(Read-only file system\): give another\.$"
    with pytest.raises(OSError, match=sentence):
        make_writable(tmp_path, "the folder b", "give another.")
