"""The command line of tools/visualize.py, run as a user runs it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import cv2
import pytest

from tests.engine.tiny_data import write_dataset
from tests.engine.tiny_models import tiny_config_file, write_weights


@pytest.fixture(scope="module")
def tool(repository):
    spec = importlib.util.spec_from_file_location("visualize", repository / "tools/visualize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_models_are_given_in_two_ways(tool):
    args = tool.parse_args(
        ["recall", "--config-file", "a.py", "--weights", "-", "--config-file", "b.py"]
        + ["--weights", "c:d.pth", "--model", "My RPN", "e:f.py", "-", "--output", "x.png"]
        + ["--set", "a=1", "b=2", "--set", "c=3"]
    )
    assert (args.config_file, args.weights) == (["a.py", "b.py"], ["-", "c:d.pth"])
    assert args.model == [["My RPN", "e:f.py", "-"]] and args.overrides == ["a=1", "b=2", "c=3"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["stages"],  # no output
        ["targets", "--output", "x.png"],  # no config
        ["stages", "--output", "x.png", "--top", "0"],
        ["stages", "--output", "x.png", "--dataset", "a", "--data", "b:c"],
        ["recall", "--output", "x.png", "--input", "a.png"],  # nothing to find there
        ["iou", "--output", "x.png", "--limit", "0"],
        ["anchor-shapes", "--output", "x.png", "--config-file", "a.py", "--input", "a.png"],
        ["scores", "--output", "x.png", "--config-file", "a.py", "--input", "a.png"],
        ["refinement", "--output", "x.png", "--config-file", "a.py", "--pick", "worst"],
        ["grid", "--output", "x.png", "--config-file", "a.py", "--detection", "0"],
    ],
)
def test_arguments_that_do_not_work(tool, words, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(words)
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("stages", "tiny_cascade_rpn"),
        ("sampling", "tiny_cascade_rpn"),
        ("targets", "tiny_cascade_rpn"),
        ("recall", "tiny_cascade_rpn"),
        ("anchors", "tiny_guided_anchor_rpn"),
        ("anchor-shapes", "tiny_guided_anchor_rpn"),
        ("iou", "tiny_cascade_rpn"),
        ("grid", "tiny_cpm_rcnn"),
        ("refinement", "tiny_cpm_rcnn"),
        ("scores --min-iou 0.01 --min-score 0", "tiny_cpm_rcnn"),
        ("score-iou --min-iou 0.01", "tiny_cpm_rcnn"),
    ],
)
def test_every_command_draws(tool, command, name, tmp_path, capsys):
    data = write_dataset(tmp_path / "data", images=2)
    weights = write_weights(name, tmp_path)
    output = tmp_path / "picture.png"
    tool.main(
        [*command.split(), "--config-file", tiny_config_file(name), "--weights", weights]
        + ["--data", data, "--output", str(output), "--device", "cpu"]
    )
    assert cv2.imread(str(output)).std() > 10
    assert str(output) in capsys.readouterr().out


def test_a_failure_is_one_sentence(repository, tmp_path):
    command = [sys.executable, str(repository / "tools/visualize.py"), "stages"]
    command += ["--config-file", "demo/cascade_rnp", "--output", "x.png"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository), "PATH": "", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("visualize.py: ") and "did you mean" in last
    assert "Traceback" not in done.stderr
