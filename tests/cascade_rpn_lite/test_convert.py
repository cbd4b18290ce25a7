"""`cascade-rpn convert`, run as a user runs it."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import torch

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.checkpoint.location_polarity import PolarityChoice
from cascade_rpn_lite.cli import main
from cascade_rpn_lite.convert import POLARITIES
from tests.checkpoint.foreign_states import as_mmdet
from tests.engine.tiny_data import write_dataset


@pytest.fixture(scope="module")
def config_file(repository):
    return str(repository / "tests/tiny_configs/tiny_rpn.py")


@pytest.fixture(scope="module")
def source(config_file, tmp_path_factory):
    file = tmp_path_factory.mktemp("theirs") / "theirs.pth"
    state = as_mmdet(model_zoo.get(config_file, device="cpu").state_dict())
    torch.save({"meta": {}, "state_dict": state}, file)
    return str(file)


def test_it_converts_and_says_what_it_did(config_file, source, tmp_path, capsys):
    main(["convert", source, str(tmp_path / "ours.pth"), "--config-file", config_file])
    printed = capsys.readouterr().out
    assert "tensors mapped, 0 dropped." in printed and f"Wrote {tmp_path / 'ours.pth'}." in printed
    assert "do not tell mmdet 1.x from later" in printed
    model = model_zoo.get(config_file, device="cpu")
    Checkpointer(model).load(str(tmp_path / "ours.pth"))
    theirs = torch.load(source, weights_only=True)["state_dict"]
    assert all(torch.equal(theirs[k], v) for k, v in as_mmdet(model.state_dict()).items())


def test_overrides_make_the_config_fit(repository, tmp_path, sentence_of):
    config_file = str(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    config = model_zoo.get_config(config_file)
    config.model.roi_heads.num_classes = 3
    state = as_mmdet(model_zoo.instantiate_model(config).state_dict())
    torch.save(state, tmp_path / "theirs.pth")
    files = [str(tmp_path / "theirs.pth"), str(tmp_path / "ours.pth")]
    given = ["convert", *files, "--config-file", config_file]
    assert "of shape" in sentence_of(*given)
    assert not (tmp_path / "ours.pth").exists()
    main([*given, "model.roi_heads.num_classes=3"])
    assert (tmp_path / "ours.pth").exists()


@pytest.fixture
def guided(repository, tmp_path):
    """Arguments to convert a small GA-RPN, whose location branch says 0.7 everywhere."""
    config_file = str(repository / "tests/tiny_configs/tiny_guided_anchor_rpn.py")
    state = as_mmdet(model_zoo.get(config_file, device="cpu").state_dict())
    state["rpn_head.conv_loc.bias"].fill_(0.85)
    torch.save(state, tmp_path / "theirs.pth")
    return [str(tmp_path / "theirs.pth"), str(tmp_path / "ours.pth"), "--config-file", config_file]


@pytest.mark.parametrize(
    ("options", "bias", "words"),
    [
        ([], 0.85, "cannot be told .*0.70 outside.* on 16 drawn pictures"),
        (["--data", "tiny"], 0.85, "cannot be told .*0.70 outside.* on 5 images of"),
        (["--location-polarity", "keep"], 0.85, "Note: Its location branch is kept as it is"),
        (["--location-polarity", "flip"], -0.85, "Note: Its location branch is turned round"),
    ],
)
def test_what_was_done_to_a_location_branch_is_said(guided, tmp_path, capsys, options, bias, words):
    options = [write_dataset(tmp_path / "data") if x == "tiny" else x for x in options]
    main(["convert", *guided, *options])
    assert re.search(words, capsys.readouterr().out)
    state = torch.load(tmp_path / "ours.pth", weights_only=True)["model"]
    assert state["proposal_generator.head.location.bias"].item() == pytest.approx(bias)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, "absent.pth", "There is no checkpoint at absent.pth"),
        (1, "ours.pkl", "must be named *.pth"),
        (3, "demo/cascade_rnp", "did you mean"),
    ],
)
def test_what_does_not_work_is_said(
    config_file, source, tmp_path, monkeypatch, sentence_of, at, value, message
):
    monkeypatch.chdir(tmp_path)
    given = [source, "ours.pth", "--config-file", config_file]
    given[at] = value
    assert message in sentence_of("convert", *given)
    assert not list(tmp_path.iterdir())


def test_the_choices_are_those_of_the_package():
    assert POLARITIES == get_args(PolarityChoice)
