from __future__ import annotations

import errno
import os

import pytest

from cascade_rpn_d2.files.atomic import remove_leftovers, write_atomically


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    target = tmp_path / "file"

    def slowly(file):
        file.write(b"fir")
        write_atomically(target, lambda other: other.write(b"second"))
        assert target.read_bytes() == b"second"
        file.write(b"st")

    write_atomically(target, slowly)
    assert target.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failure_leaves_the_file_before_and_says_so(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"before")

    def fail(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"Could not write .*No space left.* are intact") as caught:
        write_atomically(target, fail)
    assert caught.value.errno == errno.ENOSPC
    assert target.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_chosen_files_are_removed(tmp_path):
    for name in (".model_final.pth.0a.tmp", ".evaluation.json.1b.tmp", "notes.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "*.pth*")
    assert {p.name for p in tmp_path.iterdir()} == {".evaluation.json.1b.tmp", "notes.tmp"}
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"notes.tmp"}
