"""The command line of tools/convert_checkpoint.py, run as a user runs it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest
import torch

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint import Checkpointer
from tests.checkpoint.foreign_states import as_mmdet
from tests.engine.tiny_data import write_dataset


@pytest.fixture(scope="module")
def tool(repository):
    file = repository / "tools/convert_checkpoint.py"
    spec = importlib.util.spec_from_file_location("convert_checkpoint", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def config_file(repository):
    return str(repository / "tests/tiny_configs/tiny_rpn.py")


@pytest.fixture(scope="module")
def source(config_file, tmp_path_factory):
    file = tmp_path_factory.mktemp("theirs") / "theirs.pth"
    state = as_mmdet(model_zoo.get(config_file, device="cpu").state_dict())
    torch.save({"meta": {}, "state_dict": state}, file)
    return str(file)


def test_it_converts_and_says_what_it_did(tool, config_file, source, tmp_path, capsys):
    tool.main([source, str(tmp_path / "ours.pth"), "--config-file", config_file])
    printed = capsys.readouterr().out
    assert "tensors mapped, 0 dropped." in printed and f"Wrote {tmp_path / 'ours.pth'}." in printed
    assert "do not tell mmdet 1.x from later" in printed
    model = model_zoo.get(config_file, device="cpu")
    Checkpointer(model).load(str(tmp_path / "ours.pth"))
    theirs = torch.load(source, weights_only=True)["state_dict"]
    assert all(torch.equal(theirs[k], v) for k, v in as_mmdet(model.state_dict()).items())


def test_overrides_make_the_config_fit(tool, repository, tmp_path):
    config_file = str(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    config = model_zoo.get_config(config_file)
    config.model.roi_heads.num_classes = 3
    state = as_mmdet(model_zoo.instantiate_model(config).state_dict())
    torch.save(state, tmp_path / "theirs.pth")
    given = [str(tmp_path / "theirs.pth"), str(tmp_path / "ours.pth"), "--config-file", config_file]
    with pytest.raises(ValueError, match="of shape"):
        tool.main(given)
    assert not (tmp_path / "ours.pth").exists()
    tool.main([*given, "model.roi_heads.num_classes=3"])
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
        (["--dataset", "tiny"], 0.85, "cannot be told .*0.70 outside.* on 5 images of"),
        (["--location-polarity", "keep"], 0.85, "Note: Its location branch is kept as it is"),
        (["--location-polarity", "flip"], -0.85, "Note: Its location branch is turned round"),
    ],
)
def test_what_was_done_to_a_location_branch_is_said(
    tool, guided, tmp_path, capsys, options, bias, words
):
    options = [write_dataset(tmp_path / "data") if x == "tiny" else x for x in options]
    tool.main([*guided, *options])
    assert re.search(words, capsys.readouterr().out)
    state = torch.load(tmp_path / "ours.pth", weights_only=True)["model"]
    assert state["proposal_generator.head.location.bias"].item() == pytest.approx(bias)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, "absent.pth", "There is no checkpoint at absent.pth"),
        (1, "ours.pkl", r"must be named \*\.pth"),
        (3, "demo/cascade_rnp", "did you mean"),
    ],
)
def test_what_does_not_work_is_said(
    tool, config_file, source, tmp_path, monkeypatch, at, value, message
):
    monkeypatch.chdir(tmp_path)
    given = [source, "ours.pth", "--config-file", config_file]
    given[at] = value
    with pytest.raises((OSError, ValueError), match=message):
        tool.main(given)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_error_is_one_sentence(repository, config_file, tmp_path):
    file = str(repository / "tools/convert_checkpoint.py")
    done = subprocess.run(
        [sys.executable, file, "absent.pth", "ours.pth", "--config-file", config_file],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last == "convert_checkpoint.py: There is no checkpoint at absent.pth."
