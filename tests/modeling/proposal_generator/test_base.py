"""What images of the demo are given alone and beside a larger image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data.demo import VAL, scene
from cascade_rpn_d2.data.demo_scene import CLASSES
from cascade_rpn_d2.evaluation import ProposalRecallEvaluator

COUNT, DATASET = 40, "some_of_the_demo"


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[list[np.ndarray]]:
    """The first images of the demo's test set, whose objects are registered as ``DATASET``."""
    found, images, annotations = [], [], []
    for number in range(1, COUNT + 1):
        picture, objects = scene(VAL, number)
        found.append(picture)
        height, width = picture.shape[:2]
        images.append({"id": number, "file_name": "", "height": height, "width": width})
        annotations += [
            {
                "id": len(annotations) + index,
                "image_id": number,
                "category_id": x.category + 1,
                "bbox": list(x.box),
                "area": x.area,
                "iscrowd": 0,
            }
            for index, x in enumerate(objects, start=1)
        ]
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    path = tmp_path / "some.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    register_coco_instances(DATASET, {}, str(path), str(tmp_path))
    yield found
    DatasetCatalog.remove(DATASET)
    MetadataCatalog.remove(DATASET)


@pytest.mark.slow
@torch.no_grad()
def test_recall_is_as_high_beside_a_larger_image_as_alone(pictures):
    model = model_zoo.get("demo/cascade_rpn.py", trained=True, device="cpu").eval()

    def recall(*, company: bool) -> tuple[float, float]:
        evaluator = ProposalRecallEvaluator(DATASET, limits=(100, 300))
        evaluator.reset()
        for number, picture in enumerate(pictures, start=1):
            height, width = picture.shape[:2]
            given = {"image": torch.from_numpy(picture.transpose(2, 0, 1).copy())}
            given |= {"image_id": number, "height": height, "width": width}
            grey = torch.full((3, 2 * height, 2 * width), 114, dtype=torch.uint8)
            batch = [given, {"image": grey}] if company else [given]
            evaluator.process([given], model(batch)[:1])
        result = evaluator.evaluate()["box_proposals"]
        return result["AR@100"], result["AR@300"]

    alone, beside = recall(company=False), recall(company=True)
    assert alone[0] > 30 and alone[1] > 40
    assert beside[0] > alone[0] - 0.4 and beside[1] > alone[1] - 0.4
    model.proposal_generator.propose_in_padding = True
    assert recall(company=True)[0] < alone[0] - 0.4, "so much do those cells cost"
