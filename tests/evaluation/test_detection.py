"""Average precision at single IoUs: worked by hand, and equal to COCO's own columns."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_rpn_d2.evaluation import DetectionEvaluator
from cascade_rpn_d2.evaluation.detection import RESULTS_FILE, precision_at

NAME = "detection_test"
# The width of the detection of every object by that of the object: their IoU.
IOUS = (0.55, 0.65, 0.75, 0.92)


@pytest.fixture
def dataset(tmp_path):
    """An image with four objects of one class, of 100 x 100 pixels."""
    truth = {
        "images": [{"id": 1, "width": 500, "height": 100}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": [120 * i, 0, 100, 100],
             "area": 10_000, "iscrowd": 0}
            for i in range(4)
        ],
    }  # fmt: skip
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    DatasetCatalog.register(NAME, lambda: [])
    MetadataCatalog.get(NAME).json_file = str(path)
    MetadataCatalog.get(NAME).thing_dataset_id_to_contiguous_id = {1: 0}
    MetadataCatalog.get(NAME).thing_classes = ["cell"]
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def evaluate(
    name: str, ious=IOUS, columns=None, *, category: int = 0, **options
) -> dict[str, float]:
    boxes = [[120 * i, 0, 120 * i + 100 * iou, 100] for i, iou in enumerate(ious)]
    found = Instances((100, 500))
    found.pred_boxes = Boxes(torch.tensor(boxes).view(-1, 4))
    found.scores = torch.linspace(0.5, 0.9, len(boxes))
    found.pred_classes = torch.full((len(boxes),), category)
    options |= {} if columns is None else {"ious": columns}
    evaluator = DetectionEvaluator(name, **options)
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [{"instances": found}])
    return evaluator.evaluate().get("bbox", {})


def precision(share: float) -> float:
    """Of detections that are right up to a share of the objects: COCO's 101 recalls."""
    return 100 * (math.floor(share * 100) + 1) / 101


def test_columns(dataset):
    results = evaluate(dataset)
    # The better boxes have the higher scores, so all are right until none is left that is.
    shares = {55: 4, 60: 3, 65: 3, 70: 2, 75: 2, 80: 1, 85: 1, 90: 1}
    for iou, right in shares.items():
        assert results[f"AP{iou}"] == pytest.approx(precision(right / 4)), iou
    assert results["AP50"] == pytest.approx(100) and results["AP95"] == 0
    assert [name for name in results if name[2:].isdecimal()] == [
        *("AP50", "AP75", "AP55", "AP60", "AP65", "AP70", "AP80", "AP85", "AP90", "AP95")
    ]
    assert results["AP"] == pytest.approx(sum(results[f"AP{k}"] for k in range(50, 100, 5)) / 10)


def test_columns_can_be_chosen(dataset):
    results = evaluate(dataset, columns=(0.95,))
    assert results["AP95"] == 0 and "AP90" not in results


@pytest.mark.parametrize("iou", [0.45, 0.72, 1.0])
def test_an_iou_that_coco_does_not_evaluate_is_refused(dataset, iou):
    with pytest.raises(ValueError, match=f"0.5, 0.55, ..., 0.95, not {iou}"):
        DetectionEvaluator(dataset, ious=[iou])


def test_no_detections(dataset):
    assert math.isnan(evaluate(dataset, ious=())["AP90"])


def test_the_detections_are_written_in_the_form_of_cocos_results(dataset, tmp_path):
    results = evaluate(dataset, output_dir=str(tmp_path / "new"), suffix="_tta")
    (file,) = (tmp_path / "new").iterdir()
    assert file.name == f"{RESULTS_FILE}_tta.json"
    records = json.loads(file.read_text())
    assert records[0] == {"image_id": 1, "category_id": 1, "bbox": [0, 0, 55, 100], "score": 0.5}
    truth = COCO(MetadataCatalog.get(dataset).json_file)
    evaluation = COCOeval(truth, truth.loadRes(str(file)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert 100 * evaluation.stats[0] == results["AP"]


def test_test_images_without_annotations_have_detections_and_no_results(dataset, tmp_path):
    MetadataCatalog.get(dataset).has_annotations = False
    assert evaluate(dataset, output_dir=str(tmp_path)) == {}
    assert len(json.loads((tmp_path / f"{RESULTS_FILE}.json").read_text())) == len(IOUS)


def test_a_class_that_the_data_do_not_have_is_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="found class 2, but its test data have 1 classes"):
        evaluate(dataset, category=2, output_dir=str(tmp_path))


def test_categories_have_their_own_precision_in_whatever_order_the_classes_are(dataset, capsys):
    metadata = MetadataCatalog.get(dataset)
    content = json.loads(Path(metadata.json_file).read_text())
    content["categories"] = [{"id": 1, "name": "cell"}, {"id": 2, "name": "virus"}]
    content["annotations"][3]["category_id"] = 2
    Path(metadata.json_file).write_text(json.dumps(content))
    MetadataCatalog.remove(dataset)
    MetadataCatalog.get(dataset).set(
        json_file=metadata.json_file,
        thing_classes=["virus", "cell"],
        thing_dataset_id_to_contiguous_id={1: 1, 2: 0},
    )
    results = evaluate(dataset, ious=(1, 1, 1), category=1)
    assert (results["AP-cell"], results["AP-virus"]) == (pytest.approx(100), 0)
    assert capsys.readouterr().out == ""


def test_more_than_a_hundred_objects_can_be_counted(dataset):
    """Of an image with 200 objects the best 100 detections find half, unless more may count."""
    file = Path(MetadataCatalog.get(dataset).json_file)
    content = json.loads(file.read_text())
    first = content["annotations"][0]
    content["annotations"] = [
        {**first, "id": i + 1, "bbox": [120 * i, 0, 100, 100]} for i in range(200)
    ]
    file.write_text(json.dumps(content))
    assert evaluate(dataset, [1] * 200)["AP"] == pytest.approx(precision(0.5))
    assert evaluate(dataset, [1] * 200, max_dets_per_image=200)["AP90"] == pytest.approx(100)
    assert evaluate(dataset, [1] * 200, max_dets_per_image=200)["AP"] == pytest.approx(100)


def test_columns_are_those_of_coco(shared_dir, capsys):
    folder = shared_dir / "data/coco_eval_val2014_100"
    truth = COCO(str(folder / "instances_val2014_100.json"))
    results = truth.loadRes(str(folder / "instances_val2014_fakebbox100_results.json"))
    evaluation = COCOeval(truth, results, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    single = [precision_at(evaluation, 0.5 + 0.05 * k) for k in range(10)]
    assert single[0] == pytest.approx(100 * evaluation.stats[1])
    assert single[5] == pytest.approx(100 * evaluation.stats[2])
    assert sum(single) / 10 == pytest.approx(100 * evaluation.stats[0])
