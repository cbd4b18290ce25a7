"""Average recall equals pycocotools' COCOeval with useCats=0."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_rpn_d2.evaluation import ProposalRecallEvaluator
from cascade_rpn_d2.evaluation.proposal_recall import RESULTS_FILE

NAME = "proposal_recall_test"
LIMITS = (100, 300, 1000)


@pytest.fixture
def register(tmp_path):
    """Register an annotation file's content as dataset ``NAME``."""

    def register_content(content) -> None:
        path = tmp_path / "truth.json"
        path.write_text(json.dumps(content))
        DatasetCatalog.register(NAME, lambda: [])
        MetadataCatalog.get(NAME).json_file = str(path)

    yield register_content
    if NAME in DatasetCatalog.list():
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def proposals(boxes, scores) -> dict:
    """XYXY boxes -> what a ProposalNetwork returns for one image."""
    instances = Instances((1000, 1000))
    instances.proposal_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.objectness_logits = torch.tensor(scores, dtype=torch.float32)
    return {"proposals": instances}


def evaluate(outputs: dict, **kwargs) -> dict:
    """Image id -> output; returns the evaluator's results."""
    evaluator = ProposalRecallEvaluator(NAME, **kwargs)
    evaluator.reset()
    for image_id, output in outputs.items():
        evaluator.process([{"image_id": image_id}], [output])
    return evaluator.evaluate()["box_proposals"]


def cocoeval(content: dict, outputs: dict, limits=LIMITS) -> dict:
    """The same by pycocotools."""
    results = []
    for image_id, output in outputs.items():
        found = output["proposals"]
        boxes = found.proposal_boxes.tensor.double().numpy()
        boxes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        for box, score in zip(boxes.tolist(), found.objectness_logits.tolist(), strict=True):
            results.append(
                {"image_id": image_id, "category_id": 1, "bbox": box, "score": score},
            )
    return cocoeval_of(content, results, limits)


def cocoeval_of(content: dict, results: list[dict], limits=LIMITS) -> dict:
    """The evaluation of COCO's results by pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.params.useCats = 0
        evaluator.params.maxDets = list(limits)
        evaluator.evaluate()
        evaluator.accumulate()
    recall = evaluator.eval["recall"][:, 0].mean(axis=0)  # (T, 1, A, M) -> (A, M)
    recall = np.where(recall < 0, np.nan, 100 * recall)
    expected = {f"AR@{limit}": recall[0, m] for m, limit in enumerate(limits)}
    return expected | {f"AR{a}@{limits[0]}": recall[i, 0] for i, a in enumerate("sml", start=1)}


def random_content(rng: np.random.Generator, num_images: int = 6) -> dict:
    """Objects of all sizes in several categories; crowds, and images without an object."""
    images = [
        {"id": 10 * i, "file_name": f"{i}.jpg", "width": 400, "height": 400}
        for i in range(num_images)
    ]
    annotations = []
    for image in images:
        for _ in range(rng.integers(0, 9)):
            x, y = (rng.integers(0, 40, 2) * 5).tolist()
            # whole numbers on a grid, so that equal overlaps and areas on a range's end occur
            w, h = rng.choice([8, 16, 32, 64, 96, 144, 200], 2).tolist()
            area = w * h if rng.random() < 0.7 else float(w * h * rng.uniform(0.3, 1))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": int(rng.integers(1, 4)),
                    "bbox": [x, y, w, h],
                    "area": area,
                    "iscrowd": int(rng.random() < 0.2),
                }
            )
    categories = [{"id": i, "name": str(i)} for i in (3, 1, 2)]
    return {"images": images, "annotations": annotations, "categories": categories}


def random_outputs(rng: np.random.Generator, content: dict, count: int) -> dict:
    """Objects moved by a few pixels, some twice, among noise; equal scores are common."""
    outputs = {}
    per_image = defaultdict(list)
    for annotation in content["annotations"]:
        per_image[annotation["image_id"]].append(annotation["bbox"])
    for image in content["images"]:
        if rng.random() < 0.2:  # no proposal: nothing, or not even processed
            if rng.random() < 0.5:
                outputs[image["id"]] = proposals([], [])
            continue
        boxes = []
        for _ in range(rng.integers(1, count)):
            near = per_image[image["id"]]
            if near and rng.random() < 0.7:
                x, y, w, h = near[rng.integers(len(near))]
                x, y, w, h = (np.array([x, y, w, h]) + rng.integers(-4, 5, 4)).tolist()
            else:
                x, y, w, h = rng.integers(0, 150, 4).tolist()
            boxes.append([x, y, x + max(w, 0), y + max(h, 0)])
        outputs[image["id"]] = proposals(boxes, np.round(rng.normal(size=len(boxes)), 1))
    return outputs


def assert_equal(ours: dict, expected: dict) -> None:
    assert list(ours) == list(expected)
    np.testing.assert_allclose(list(ours.values()), list(expected.values()), rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_random_cases(register, seed, tmp_path):
    rng = np.random.default_rng(seed)
    content = random_content(rng)
    outputs = random_outputs(rng, content, count=60)
    register(content)
    limits = (2, 10, 40)
    options = {"output_dir": str(tmp_path / "out"), "suffix": "_x"}
    expected = cocoeval(content, outputs, limits)
    assert_equal(evaluate(outputs, limits=limits, **options), expected)
    written = json.loads((tmp_path / "out" / f"{RESULTS_FILE}_x.json").read_text())
    assert_equal(cocoeval_of(content, written, limits), expected)


def test_the_official_sample(register, shared_dir):
    folder = shared_dir / "data/coco_eval_val2014_100"
    content = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    per_image = defaultdict(list)
    for result in results:
        per_image[result["image_id"]].append(result)
    outputs = {}
    for image_id, found in per_image.items():
        boxes = np.array([r["bbox"] for r in found])
        boxes[:, 2:] += boxes[:, :2]
        outputs[image_id] = proposals(boxes, [r["score"] for r in found])
    register(content)
    assert any(a["iscrowd"] for a in content["annotations"])
    for limits in (LIMITS, (1, 5, 10)):
        assert_equal(evaluate(outputs, limits=limits), cocoeval(content, outputs, limits))
    # COCOeval says 67.78 for all proposals; few images have more than a dozen.
    assert evaluate(outputs)["AR@100"] == pytest.approx(67.783, abs=1e-3)


@pytest.fixture
def two_images() -> dict:
    images = [{"id": i, "file_name": "x", "width": 99, "height": 99} for i in (1, 2)]
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 50, 50], "area": 2500}
        for i in (1, 2)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "thing"}],
    }


PERFECT = [[0, 0, 50, 50]]


def test_objects_of_images_without_proposals_count(register, two_images, caplog):
    register(two_images)
    both = {1: proposals(PERFECT, [1]), 2: proposals(PERFECT, [1])}
    assert evaluate(both)["AR@100"] == 100
    assert evaluate({**both, 2: proposals([], [])})["AR@100"] == 50
    assert "were not processed" not in caplog.text
    assert evaluate({1: both[1]})["AR@100"] == 50
    assert "1 of the 2 images" in caplog.text
    assert evaluate({})["AR@100"] == 0


def test_no_object_of_a_size_is_nan(register, two_images):
    register(two_images)
    results = evaluate({1: proposals(PERFECT, [1])})
    assert math.isnan(results["ARs@100"]) and math.isnan(results["ARl@100"])
    assert results["AR@300"] == results["ARm@100"] == 50


def test_test_images_without_annotations_have_proposals_and_no_results(
    register, two_images, tmp_path
):
    del two_images["annotations"]
    register(two_images)
    evaluator = ProposalRecallEvaluator(NAME, output_dir=str(tmp_path))
    evaluator.process([{"image_id": 1}], [proposals(PERFECT, [0])])
    assert not evaluator.has_annotations and evaluator.evaluate() == {}
    assert json.loads((tmp_path / f"{RESULTS_FILE}.json").read_text()) == [
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50], "score": 0.5}
    ]


def test_recall_at_every_threshold(register, two_images):
    register(two_images)
    evaluator = ProposalRecallEvaluator(NAME, limits=(1, 2))
    # IoU 0.72 with the object, and exactly the object.
    boxes = [[0, 0, 50, 36], *PERFECT]
    evaluator.process([{"image_id": 1}], [proposals(boxes, [1, 0])])
    recalls = evaluator.recalls()
    assert evaluator.num_objects == 2 and recalls.shape == (4, 2, 10)
    assert recalls[0, 0].tolist() == [50] * 5 + [0] * 5  # 0.5 to 0.7
    assert recalls[0, 1].tolist() == [50] * 10
    results = evaluator.evaluate()["box_proposals"]
    assert [results["AR@1"], results["AR@2"]] == recalls[0].mean(axis=1).tolist()


def test_names_of_the_results(register, two_images):
    register(two_images)
    names = ["AR@100", "AR@300", "AR@1000", "ARs@100", "ARm@100", "ARl@100"]
    assert list(evaluate({})) == names


def test_reset_forgets(register, two_images):
    register(two_images)
    evaluator = ProposalRecallEvaluator(NAME)
    evaluator.process([{"image_id": 1}], [proposals(PERFECT, [1])])
    evaluator.reset()
    assert evaluator.evaluate()["box_proposals"]["AR@100"] == 0


def test_worst_scores_are_cut_off(register, two_images):
    register(two_images)
    boxes = PERFECT + [[60, 60, 90, 90]] * 10
    good_last = proposals(boxes, [-1.0] + [0.0] * 10)
    results = evaluate({1: good_last, 2: good_last}, limits=(10, 11))
    assert (results["AR@10"], results["AR@11"]) == (0, 100)


def test_area_is_the_annotated_one_and_falls_back_to_the_box(register, two_images):
    two_images["annotations"][0]["area"] = 1000  # a thin object in a medium box
    del two_images["annotations"][1]["area"]
    register(two_images)
    results = evaluate({1: proposals(PERFECT, [1])})
    assert (results["ARs@100"], results["ARm@100"]) == (100, 0)


def test_an_annotation_with_id_zero_is_found(register, two_images):
    two_images["annotations"][0]["id"] = 0
    register(two_images)
    assert evaluate({1: proposals(PERFECT, [1]), 2: proposals(PERFECT, [1])})["AR@100"] == 100


def test_a_dataset_without_a_json_file():
    record = {
        "file_name": "x",
        "image_id": 5,
        "width": 99,
        "height": 99,
        "annotations": [
            {"bbox": [0, 0, 50, 50], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0},
        ],
    }
    DatasetCatalog.register(NAME, lambda: [record])
    MetadataCatalog.get(NAME).thing_classes = ["thing"]
    try:
        assert evaluate({5: proposals(PERFECT, [1])})["ARm@100"] == 100
    finally:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def test_the_json_file_may_be_made_on_first_use(register, two_images):
    register(two_images)
    path = Path(MetadataCatalog.get(NAME).json_file)
    path.unlink()
    evaluator = ProposalRecallEvaluator(NAME)
    DatasetCatalog.remove(NAME)
    DatasetCatalog.register(NAME, lambda: path.write_text(json.dumps(two_images)))
    evaluator.reset()
    assert evaluator.evaluate()["box_proposals"]["AR@100"] == 0


def test_bad_input(register, two_images):
    register(two_images)
    with pytest.raises(ValueError, match=r"\(instances\).*ProposalsOfDetector"):
        evaluate({1: {"instances": None}})
    with pytest.raises(ValueError, match="image 77 is not in dataset"):
        evaluate({77: proposals(PERFECT, [1])})
    with pytest.raises(ValueError, match="image 1 are not finite"):
        evaluate({1: proposals([[0, 0, math.nan, 5]], [1])})
    with pytest.raises(ValueError, match="image 1 are not finite"):
        evaluate({1: proposals(PERFECT, [math.inf])})
    with pytest.raises(ValueError, match="limits must be positive"):
        ProposalRecallEvaluator(NAME, limits=[0, 10])
    with pytest.raises(ValueError, match="'unknown'"):
        ProposalRecallEvaluator("unknown")


def test_two_processes(register, two_images, monkeypatch):
    register(two_images)
    evaluators = [ProposalRecallEvaluator(NAME) for _ in range(2)]
    for image_id, evaluator in enumerate(evaluators, start=1):
        evaluator.reset()
        evaluator.process([{"image_id": image_id}], [proposals(PERFECT, [1])])
    monkeypatch.setattr(comm, "gather", lambda mine, dst: [e._found for e in evaluators])
    assert evaluators[0].evaluate()["box_proposals"]["AR@100"] == 100
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert evaluators[1].evaluate() is None
    alone = ProposalRecallEvaluator(NAME, distributed=False)
    assert alone.evaluate()["box_proposals"]["AR@100"] == 0
