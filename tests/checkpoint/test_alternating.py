"""Two checkpoints of one backbone become one, and two of different backbones do not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cascade_rpn_d2.checkpoint.alternating import join_rpn_and_fast_rcnn
from cascade_rpn_d2.checkpoint.categories import KEY

RPN = {"backbone.a": torch.ones(2), "proposal_generator.b": torch.full((3,), 2.0)}
FAST = {"backbone.a": torch.ones(2), "roi_heads.c": torch.full((1,), 3.0)}


def write(folder: Path, name: str, state: dict, **more) -> str:
    torch.save({"model": state, **more}, folder / name)
    return str(folder / name)


def test_the_parts_of_both_are_there_and_the_classes_too(tmp_path):
    classes = {"names": ["cat"], "ids": [7]}
    files = (
        write(tmp_path, "rpn.pth", RPN, trainer={"iteration": 1}),
        write(tmp_path, "fast.pth", FAST, **{KEY: classes}, trainer={"iteration": 2}),
    )
    join_rpn_and_fast_rcnn(*files, tmp_path / "out.pth")
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    assert content["model"].keys() == RPN.keys() | FAST.keys()
    for state in (RPN, FAST):
        assert all(torch.equal(content["model"][key], state[key]) for key in state)
    assert content[KEY] == classes and "trainer" not in content


@pytest.mark.parametrize("other", [{"backbone.a": torch.zeros(2)}, {"backbone.z": torch.ones(2)}])
def test_two_backbones_are_refused(tmp_path, other):
    rpn = {**other, "proposal_generator.b": RPN["proposal_generator.b"]}
    files = write(tmp_path, "rpn.pth", rpn), write(tmp_path, "fast.pth", FAST)
    with pytest.raises(ValueError, match="backbones of .* differ.*give the same command again"):
        join_rpn_and_fast_rcnn(*files, tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_other_files_are_refused(tmp_path):
    fast = write(tmp_path, "fast.pth", FAST)
    with pytest.raises(ValueError, match=r"fast\.pth has no weights 'proposal_generator\.\*'"):
        join_rpn_and_fast_rcnn(fast, fast, tmp_path / "out.pth")
