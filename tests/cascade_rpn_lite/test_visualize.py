"""`cascade-rpn visualize`, run as a user runs it."""

from __future__ import annotations

import cv2
import pytest

from cascade_rpn_lite import visualize
from cascade_rpn_lite.cli import main
from tests.engine.tiny_data import write_dataset
from tests.engine.tiny_models import tiny_config_file, write_weights


def test_models_are_given_in_two_ways():
    args = visualize.parse(
        ["recall", "a=1", "--config-file", "a.py", "--weights", "-", "--config-file", "b.py"]
        + ["--weights", "c:d.pth", "--model", "My RPN", "e:f.py", "-", "--output", "x.png"]
        + ["b=2", "--numbers", "10", "20", "c=3", "--at", "5"],
        "visualize",
    )
    assert (args.config_file, args.weights) == (["a.py", "b.py"], ["-", "c:d.pth"])
    assert args.model == [["My RPN", "e:f.py", "-"]] and args.numbers == [10, 20]
    assert sorted(args.overrides) == ["a=1", "b=2", "c=3"] and args.at == 5


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["stages"],  # no output
        ["targets", "--output", "x.png"],  # no config
        ["stages", "--output", "x.png", "--top-k", "0"],
        ["stages", "--output", "x.png", "--input", "a.png", "--data", "b:c"],
        ["recall", "--output", "x.png", "--input", "a.png"],  # nothing to find there
        ["iou", "--output", "x.png", "--top-k", "0"],
        ["anchor-shapes", "--output", "x.png", "--config-file", "a.py", "--input", "a.png"],
        ["scores", "--output", "x.png", "--config-file", "a.py", "--input", "a.png"],
        ["refinement", "--output", "x.png", "--config-file", "a.py", "--pick", "worst"],
        ["grid", "--output", "x.png", "--config-file", "a.py", "--detection", "0"],
        ["precision", "--output", "x.png", "--results", "name alone"],
    ],
)
def test_arguments_that_do_not_work(words, refused):
    assert "cascade-rpn visualize" in refused("visualize", *words)


def test_the_figures_are_listed_and_a_misspelt_one_is_recognised(refused, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["visualize", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in visualize.FIGURES)
    assert "did you mean 'stages'?" in refused("visualize", "stage")


@pytest.mark.parametrize(
    ("figure", "name"),
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
        ("scores --min-iou 0.01 --score-threshold 0", "tiny_cpm_rcnn"),
        ("score-iou --min-iou 0.01", "tiny_cpm_rcnn"),
        ("precision", "tiny_cpm_rcnn"),
    ],
)
def test_every_figure_is_drawn(figure, name, tmp_path, capsys):
    data = write_dataset(tmp_path / "data", images=2)
    weights = write_weights(name, tmp_path)
    output = tmp_path / "picture.png"
    models = ["--config-file", tiny_config_file(name), "--weights", weights]
    where = ["--data", data, "--output", str(output), "--device", "cpu"]
    assert main(["visualize", *figure.split(), *models, *where]) == 0
    assert cv2.imread(str(output)).std() > 10
    assert str(output) in capsys.readouterr().out


def test_without_weights_the_zoos_are_taken(tmp_path, capsys):
    data = write_dataset(tmp_path / "data", images=1)
    where = ["--data", data, "--output", str(tmp_path / "x.png"), "--device", "cpu"]
    assert main(["visualize", "sampling", "--config-file", "demo/cascade_rpn.py", *where]) == 0
    assert "x.png" in capsys.readouterr().out


def test_a_failure_is_one_sentence(sentence_of):
    given = ["--config-file", "demo/cascade_rnp", "--output", "x.png"]
    assert "did you mean" in sentence_of("visualize", "stages", *given)
