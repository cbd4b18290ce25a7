"""Files that cannot be written are found out before the work."""

from __future__ import annotations

import json

import pytest

from cascade_rpn_d2.engine.output_files import prepare_file, prepare_picture, write_json


def test_folders_are_made_and_nothing_else(tmp_path):
    file = prepare_picture(tmp_path / "a" / "b.png")
    assert file.parent.is_dir() and not file.exists()


@pytest.mark.parametrize("name", ["picture", "picture.doc"])
def test_a_picture_needs_a_format(tmp_path, name):
    with pytest.raises(ValueError, match=r"name it \*\.png"):
        prepare_picture(tmp_path / name)


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    with pytest.raises(OSError, match="such as x.json"):
        prepare_file(tmp_path, "x.json")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Cannot make the folder"):
        prepare_file(tmp_path / "file" / "x.json", "x.json")


def test_json_can_be_read_by_programs_and_people(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, {"a": {"b": [1, 2.5]}})
    assert json.loads(file.read_text()) == {"a": {"b": [1, 2.5]}}
    assert file.read_text().endswith("}\n") and len(file.read_text().splitlines()) == 8
    with pytest.raises(OSError, match="Could not write"):
        write_json(tmp_path / "missing" / "x.json", {})
