"""Converted weights of CPM R-CNN's code against what that code detects with them.

Recorded in ``cpm_rcnn.json``: the released code, R-50 with three stages and both scores, run on the
CPU with seeded weights and images and its test of 128 pixels, at most 200, and a score of 0.93;
torchvision's NMS and RoIAlign stood in for its compiled ones. A detection is its class, score, and
box in pixels of the original image: XYXY, from the width and height that are evaluated.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cascade_rpn_d2.checkpoint import convert_state
from cascade_rpn_d2.engine.predictor import BatchPredictor
from cascade_rpn_d2.model_zoo import get_config, instantiate_model
from tests.checkpoint.foreign_states import cpm_stages, cpm_trunk

pytestmark = pytest.mark.slow

# Part of a name -> factor of its weights, so that maps and scores are neither flat nor saturated.
GAINS = {
    "Conv_Body.conv1.": 0.02,
    "Conv_Body_FPN.": 0.5,
    "RPN.head.bbox_pred.": 0.3,
    ".cls_score.": 3.0,
    ".iou_pred.": 0.1,
}


@pytest.fixture(scope="module")
def seeded(shared_dir: Path):
    spec = importlib.util.spec_from_file_location("seeded", shared_dir / "reference/seeded.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def predictor(seeded) -> BatchPredictor:
    config = get_config("cpm_rcnn/authors/cpm_rcnn_r50_fpn_2x.py")
    (resize,) = config.dataloader.test.mapper.augmentations
    resize.short_edge_length, resize.max_size = 128, 200
    config.model.roi_heads.box_predictor.test_score_thresh = 0.93
    model = instantiate_model(config)
    model.load_state_dict(convert_state(weights(seeded), model).state)
    return BatchPredictor.from_config(model, config)


def weights(seeded) -> dict[str, Tensor]:
    shapes = [(k, shape) for k, shape in cpm_trunk() + cpm_stages() if ".cell_anchors." not in k]
    state = seeded.make_weights(shapes)
    for key, value in state.items():
        for part, gain in GAINS.items():
            if part in key and (key.endswith("weight") or part == ".iou_pred."):
                value *= gain
        if key.endswith(".iou_pred.bias"):
            value += 0.5
    return state


def recorded() -> list[dict]:
    return json.loads((Path(__file__).parent / "cpm_rcnn.json").read_text())


@pytest.mark.parametrize("case", recorded(), ids=lambda case: "{}x{}".format(*case["size"]))
def test_detections_are_those_of_the_released_code(predictor, seeded, case):
    height, width, seed = case["size"]
    image = seeded.make_image(height, width, seed).permute(1, 2, 0).to(torch.uint8).numpy()
    (output,) = predictor([image])
    found = output["instances"]
    classes, scores, *corners = torch.tensor(case["detections"]).unbind(1)
    boxes = torch.stack(corners, dim=1)
    # What Detectron2 does to all detections, and the released code does not.
    boxes[:, 0::2].clamp_(0, width)
    boxes[:, 1::2].clamp_(0, height)
    assert len(found) == len(boxes)
    torch.testing.assert_close(found.scores, scores, atol=1e-5, rtol=0)
    same = found.pred_classes[:, None] == classes[None]
    same &= (found.scores[:, None] - scores[None]).abs() < 1e-5
    distance = torch.cdist(found.pred_boxes.tensor, boxes, p=float("inf"))
    distance = distance.masked_fill(~same, float("inf"))
    assert distance.amin(0).max() < 1e-3 and distance.amin(1).max() < 1e-3
