"""What a checkpoint says of its classes."""

from __future__ import annotations

import pytest
import torch

from cascade_rpn_d2.checkpoint.categories import KEY, categories_in, categories_of_file

NONE: tuple = ((), ())


def test_names_and_ids_of_the_classes(tmp_path):
    content = {"model": {"w": torch.zeros(2)}, KEY: {"names": ["cat", "dog"], "ids": [3, 7]}}
    assert categories_in(content) == (("cat", "dog"), (3, 7))
    torch.save(content, tmp_path / "model.pth")
    assert categories_of_file(str(tmp_path / "model.pth")) == (("cat", "dog"), (3, 7))
    assert categories_of_file(f"{tmp_path}/model.pth?matching_heuristics=True")[1] == (3, 7)


@pytest.mark.parametrize(
    "stated",
    [
        None,
        [],
        "cat",
        {"names": ["cat"]},
        {"names": ["cat"], "ids": [1, 2]},
        {"names": [b"cat"], "ids": [1]},
        {"names": ["cat"], "ids": [True]},
        {"names": "c", "ids": [1]},
    ],
)
def test_what_has_another_form_says_nothing(stated):
    assert categories_in({KEY: stated}) == NONE


def test_a_file_that_cannot_be_read_says_nothing(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"PK no archive")
    torch.save([1], tmp_path / "list.pth")
    torch.save({KEY: {"names": ["cat"], "ids": [1]}}, tmp_path / "model.bin")
    for name in ("model.pth", "list.pth", "absent.pth", "model.bin"):
        assert categories_of_file(str(tmp_path / name)) == NONE
