"""AP by IoU and by size: the numbers are those of evaluations."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import pytest
import torch
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.analysis.precision import (
    measure_precision,
    precision_of,
    precision_table,
    read_precision,
    visualize_precision,
)
from cascade_rpn_d2.data.image_file import DEFAULT_READER
from cascade_rpn_d2.engine.evaluation import write_results
from cascade_rpn_d2.engine.labelled_images import (
    choose_dataset,
    classes_of,
    load_records,
    objects_of,
)
from cascade_rpn_d2.engine.measurement import Measurement
from cascade_rpn_d2.engine.model_choices import ModelChoice
from tests.engine.tiny_models import tiny_config_file, tiny_model, write_weights

# AP falls by 5 with every step of the IoU.
METRICS = {f"AP{k}": float(100 - k) for k in range(50, 100, 5)}
METRICS |= {"AP": 27.5, "APs": 10.0, "APm": 20.0, "APl": math.nan, "AP-cat": 3.0}
DATA = (("coco_2017_val", None),)


def write(path: Path, metrics: dict[str, float], data=DATA) -> Path:
    made_on = None if data is None else Measurement(data, 5000)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_results({"bbox": metrics}, str(path), made_on)
    return path


def test_an_evaluation_is_read(tmp_path):
    found = read_precision(write(tmp_path / "evaluation.json", METRICS))
    assert [iou for iou, _ in found.by_iou] == pytest.approx([0.5 + 0.05 * i for i in range(10)])
    assert [value for _, value in found.by_iou] == [50 - 5 * i for i in range(10)]
    assert found.by_size == {"all": 27.5, "small": 10.0, "medium": 20.0, "large": None}
    assert found.data == "coco_2017_val"


def test_of_a_run_the_final_evaluation_is_read(tmp_path):
    write(tmp_path / "evaluation.json", {**METRICS, "AP50": 1.0})
    assert read_precision(tmp_path).by_iou[0] == (0.5, 1.0)
    write(tmp_path / "evaluation_final.json", METRICS)
    assert read_precision(tmp_path).by_iou[0] == (0.5, 50.0)


def test_those_of_earlier_versions_have_fewer_ious_and_no_data(tmp_path):
    old = {name: METRICS[name] for name in ("AP", "AP50", "AP75", "AP90", "APs", "APm", "APl")}
    found = read_precision(write(tmp_path / "evaluation.json", old, data=None))
    assert [iou for iou, _ in found.by_iou] == [0.5, 0.75, 0.9] and found.data is None


def test_what_is_no_evaluation_of_a_detector_is_said(tmp_path):
    with pytest.raises(ValueError, match="no evaluation at .*: give the folder of a run that was"):
        read_precision(tmp_path)
    write_results({"box_proposals": {"AR@100": 1.0}}, str(tmp_path / "evaluation.json"))
    with pytest.raises(ValueError, match=r"evaluation.json has no AP of boxes: give that of a det"):
        read_precision(tmp_path)
    with pytest.raises(ValueError, match="x has no AP of boxes"):
        precision_of({"bbox": {"AP50": math.nan}}, what="x", data=None, source={})


class Oracle(ModelChoice):
    """Finds every object, but only so much of its width."""

    share = 0.83

    def load(self, device=None, *, trained=True):
        records = iter(load_records(self.data))

        def predict(images):
            return [{"instances": self.find(next(records), image)} for image in images]

        predict.reader = DEFAULT_READER
        return predict

    def find(self, record, image):
        boxes = objects_of(record)
        boxes[:, 2] = boxes[:, 0] + self.share * (boxes[:, 2] - boxes[:, 0])
        scores = torch.ones(len(boxes))
        return Instances(
            image.shape[:2], pred_boxes=Boxes(boxes), scores=scores, pred_classes=classes_of(record)
        )


@pytest.fixture
def oracle(tiny_data, monkeypatch):
    model = Oracle("Oracle", tiny_config_file("tiny_cpm_rcnn"))
    monkeypatch.setattr(Oracle, "data", choose_dataset(model.config(), tiny_data), raising=False)
    return model


def test_a_model_is_measured_at_every_iou_and_size(oracle, tiny_data):
    found = measure_precision(oracle, tiny_data, "cpu", batch_size=2)
    assert dict(found.by_iou) == pytest.approx(
        {k / 100: 100.0 if k <= 80 else 0.0 for k in range(50, 100, 5)}
    )
    # All objects of the data are small.
    assert found.by_size == {
        "all": pytest.approx(70), "small": pytest.approx(70), "medium": None, "large": None
    }  # fmt: skip
    assert found.data == oracle.data and found.source["config"].endswith("tiny_cpm_rcnn.py")


def test_a_model_of_proposals_has_no_precision(tiny_data):
    with pytest.raises(ValueError, match="tiny_rpn.py makes proposals, which have no AP: give a"):
        measure_precision(tiny_model("tiny_rpn"), tiny_data, "cpu")


def test_the_table_has_every_iou_that_one_of_them_has(tmp_path):
    old = {"AP": 1.0, "AP50": 2.0}
    found = {
        "new": read_precision(write(tmp_path / "a.json", METRICS)),
        "old": read_precision(write(tmp_path / "b.json", old)),
    }
    lines = [[c.strip() for c in x.split("|")[1:-1]] for x in precision_table(found).splitlines()]
    assert lines[0][:4] == ["AP at IoU", "0.50", "0.55", "0.60"]
    assert lines[2][-4:] == ["27.5", "10.0", "20.0", ""]
    assert lines[3] == ["old", "2.0", *[""] * 9, "1.0", "", "", ""]


@pytest.fixture
def arguments(tmp_path):
    return {
        "config_file": [], "weights": [], "model": [], "overrides": [], "device": "cpu",
        "output": str(tmp_path / "pictures" / "x.png"),
    }  # fmt: skip


def test_evaluations_are_compared_without_a_model(arguments, tmp_path):
    worse = {name: 0.8 * value for name, value in METRICS.items()}
    results = [
        ("Grid R-CNN", str(write(tmp_path / "grid.json", worse))),
        ("CPM R-CNN", str(write(tmp_path / "run" / "evaluation_final.json", METRICS).parent)),
    ]
    said = visualize_precision(**arguments, results=results)
    assert "| CPM R-CNN" in said and "\nOn coco_2017_val.\n" in said
    assert cv2.imread(arguments["output"]).shape == (420, 1000, 3)
    content = json.loads(Path(arguments["output"]).with_suffix(".json").read_text())["models"]
    assert list(content) == ["Grid R-CNN", "CPM R-CNN"]
    assert content["CPM R-CNN"]["by_iou"]["0.50"] == 50.0
    assert content["CPM R-CNN"]["by_size"]["large"] is None
    assert content["Grid R-CNN"]["dataset"] == "coco_2017_val"


def test_evaluations_on_different_data_are_said_not_to_compare(arguments, tmp_path):
    for number, data in enumerate((DATA, (("mine", "a:b"),), None)):
        write(tmp_path / f"{number}.json", METRICS, data)
    results = [(str(n), str(tmp_path / f"{n}.json")) for n in range(3)]
    said = visualize_precision(**arguments, results=results)
    words = "'0' on coco_2017_val; '1' on mine; '2' on data that are not recorded."
    assert f"Only those on the same data compare: {words}" in said


def test_evaluations_that_say_no_data_may_be_of_different_ones(arguments, tmp_path):
    results = [(name, str(write(tmp_path / f"{name}.json", METRICS, None))) for name in "ab"]
    words = "data that are not recorded"
    assert f"\nOn {words}.\n" in visualize_precision(**arguments, results=results[:1])
    said = visualize_precision(**arguments, results=results)
    assert f"Only those on the same data compare: 'a' on {words}; 'b' on {words}." in said


@pytest.mark.parametrize("option", [
    {"data": "mine"}, {"weights": ["x.pth"]}, {"overrides": ["model.roi_heads.score_gamma=0.3"]},
])  # fmt: skip
def test_what_changes_models_is_refused_without_one(arguments, option, tmp_path):
    results = [("a", str(write(tmp_path / "a.json", METRICS)))]
    with pytest.raises(ValueError, match="change no evaluation that is read: leave them out, or"):
        visualize_precision(**{**arguments, **option}, results=results)


def test_a_model_beside_an_evaluation(arguments, tiny_data, tmp_path):
    weights = write_weights("tiny_cpm_rcnn", tmp_path)
    arguments["model"] = [("Model", tiny_config_file("tiny_cpm_rcnn"), weights)]
    results = [("File", str(write(tmp_path / "a.json", METRICS)))]
    said = visualize_precision(**arguments, results=results, data=tiny_data)
    assert said.index("| File") < said.index("| Model") and "Only those on" in said
    arguments["model"].append(("File", *arguments["model"][0][1:]))
    with pytest.raises(ValueError, match="Two detectors are called 'File'"):
        visualize_precision(**arguments, results=results, data=tiny_data)


def test_nothing_given_is_said(arguments):
    with pytest.raises(ValueError, match="nothing to draw: give evaluations, --results"):
        visualize_precision(**arguments)
