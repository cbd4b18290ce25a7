"""Checkpoints of other frameworks are read whatever is in them, and nothing of it is run."""

from __future__ import annotations

import collections
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from cascade_rpn_d2.checkpoint.foreign_file import read_foreign_file

STATE = {"backbone.conv1.weight": torch.arange(6.0).reshape(2, 3)}


def write(folder: Path, content: object, **options) -> Path:
    torch.save(content, folder / "theirs.pth", **options)
    return folder / "theirs.pth"


def assert_read(path: Path) -> None:
    state = read_foreign_file(path).state
    assert state.keys() == STATE.keys()
    assert torch.equal(state["backbone.conv1.weight"], STATE["backbone.conv1.weight"])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", ["", "module."])
@pytest.mark.parametrize("bare", [True, False])
def test_files_of_all_ages_are_read(tmp_path, zipped, wrapper, bare):
    state = collections.OrderedDict((wrapper + key, value) for key, value in STATE.items())
    state._metadata = {"": {"version": 1}}  # as Module.state_dict leaves it
    meta = {"mmdet_version": "1.0rc1", "config": "model = dict()", "CLASSES": ("person",)}
    content = state if bare else {"meta": meta, "state_dict": state, "optimizer": {"state": {}}}
    path = write(tmp_path, content, _use_new_zipfile_serialization=zipped)
    assert_read(path)
    assert read_foreign_file(path).config_text == ("" if bare else "model = dict()")


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_files_of_cpm_rcnn_have_their_weights_under_model(tmp_path, wrapper):
    state = {f"{wrapper}Conv_Body.conv1.weight": torch.ones(2)}
    scheduler = {"iteration": 180_000, "info": {"best_acc": np.float64(0.4)}}
    content = {"model": state, "optimizer": {"state": {}}, "scheduler": scheduler}
    found = read_foreign_file(write(tmp_path, content))
    assert found.state.keys() == {"Conv_Body.conv1.weight"} and not found.config_text


def test_a_parameter_is_a_tensor(tmp_path):
    state = {key: torch.nn.Parameter(value) for key, value in STATE.items()}
    assert_read(write(tmp_path, {"state_dict": state}))


@pytest.fixture
def history(monkeypatch):
    """A class like those of mmengine, which is not installed where the file is read."""
    module = types.ModuleType("a_framework.history")

    class HistoryBuffer:
        def __init__(self):
            self.values = np.arange(3.0)
            self.functions = {"mean": np.mean}

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, "HistoryBuffer"
    module.HistoryBuffer = HistoryBuffer
    monkeypatch.setitem(sys.modules, "a_framework", types.ModuleType("a_framework"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return HistoryBuffer


def test_objects_of_other_frameworks_are_not_needed(tmp_path, history, monkeypatch):
    content = {
        "meta": {"hook_msgs": {"best_score": np.float64(0.4)}, "cfg": "model = dict()"},
        "message_hub": {"log_scalars": {"train/loss": history()}, "numbers": np.zeros(2)},
        "state_dict": STATE,
    }
    path = write(tmp_path, content)
    allowed = set(torch.serialization.get_safe_globals())
    with pytest.raises(pickle.UnpicklingError):  # what PyTorch makes of it by itself
        torch.load(path, weights_only=True)
    monkeypatch.delitem(sys.modules, "a_framework.history")
    monkeypatch.delitem(sys.modules, "a_framework")
    assert_read(path)
    assert read_foreign_file(path).config_text == "model = dict()"
    assert set(torch.serialization.get_safe_globals()) == allowed


class Runs:
    """Runs a function on being unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def touched() -> Path:
    return Path(os.environ["TOUCHED"])


def touch() -> None:
    touched().touch()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("where", ["meta", "state_dict"])
@pytest.mark.parametrize("by", ["own", "exec", "system"])
def test_nothing_in_a_file_is_run(tmp_path, monkeypatch, zipped, where, by):
    monkeypatch.setenv("TOUCHED", str(tmp_path / "touched"))
    bad = {
        "own": Runs(touch),
        "exec": Runs(exec, f"open({str(touched())!r}, 'w')"),
        "system": Runs(os.system, f"touch {touched()}"),
    }[by]
    content = {"meta": {}, "state_dict": dict(STATE)}
    content[where]["bad"] = bad
    path = write(tmp_path, content, _use_new_zipfile_serialization=zipped)
    if where == "meta" and by != "system":
        assert_read(path)  # PyTorch never lets functions of `os` stand for anything
    else:
        with pytest.raises(ValueError, match="cannot be read safely|which is no tensor") as info:
            read_foreign_file(path)
        assert "\n" not in str(info.value)
    assert not touched().exists()
    # The file would have done it.
    torch.load(path, weights_only=False)
    assert touched().exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": STATE}, "Detectron2's format already"),
        ({"model": {}}, "Detectron2's format already"),
        ({"meta": {}, "state_dict": {}}, "holds no weights"),
        ([1, 2], "holds no weights"),
        ({}, "holds no weights"),
        ({"state_dict": {"a": 1}}, "'a' among its weights, which is no tensor"),
        ({"epoch": 3, "weights": STATE}, "'epoch' among its weights"),
    ],
)
def test_what_holds_no_weights_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_foreign_file(write(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        read_foreign_file(tmp_path / "absent.pth")
