"""The variants of RPN in Guided Anchoring's Table 1: what each of them exchanges."""

from __future__ import annotations

import torch
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.lazy import is_of
from tests.model_zoo.test_experiments import batch, shrunken
from tests.modeling.same_boxes import assert_same_boxes

FOLDER = "guided_anchoring"


def stages_of(name: str) -> list[dict]:
    model = model_zoo.get_config(f"{FOLDER}/{name}_r50_fpn_1x.py").model
    return OmegaConf.to_container(model.proposal_generator.stages)


def test_the_stage_that_they_share_is_rpn():
    rpn = shrunken(f"{FOLDER}/rpn_r50_fpn_1x.py").eval()
    staged = shrunken(f"{FOLDER}/rpn_bounded_iou_r50_fpn_1x.py").eval()
    renamed = {
        "rpn_head.conv": "stages.0.align.conv",
        "rpn_head.anchor_deltas": "stages.0.predictor.deltas",
        "rpn_head.objectness_logits": "stages.0.predictor.objectness",
    }
    weights = {}
    for name, value in rpn.state_dict().items():
        for theirs, ours in renamed.items():
            name = name.replace(theirs, ours)
        weights[name] = value
    staged.load_state_dict(weights, strict=True)
    inputs = batch(rpn)
    with torch.no_grad():
        for ours, theirs in zip(staged(inputs), rpn(inputs), strict=True):
            ours, theirs = ours["proposals"], theirs["proposals"]
            assert len(ours) == len(theirs) > 100
            assert_same_boxes(
                *(ours.proposal_boxes.tensor, ours.objectness_logits),
                *(theirs.proposal_boxes.tensor, theirs.objectness_logits),
            )


def test_each_exchanges_what_it_is_called_after():
    (bounded,), (focal,) = stages_of("rpn_bounded_iou"), stages_of("rpn_focal")
    first, second = stages_of("rpn_iterative")
    before, after = stages_of("refine_rpn")
    common = first | {"bridge": False}
    differing = {
        key: [stage for stage in (bounded, focal, second, before, after) if stage[key] != value]
        for key, value in common.items()
    }
    assert differing.pop("box_loss") == [bounded]
    assert differing.pop("sampler") == differing.pop("predictor") == [focal]
    # Boxes that the first has refined are clipped, and end at the border.
    assert differing.pop("border") == [second, after] and first["border"] == 0
    assert not any(differing.values())
    assert focal.keys() - common.keys() == {"cls_loss"}
    assert after.keys() - common.keys() == {"in_features"}
    assert first["bridge"], "the second head reads what the first has read its boxes from"


def test_their_generators_differ_in_nothing_else():
    rpn = model_zoo.get_config(f"{FOLDER}/rpn_r50_fpn_1x.py").model.proposal_generator
    for name in ("rpn_bounded_iou", "rpn_focal", "rpn_iterative", "refine_rpn"):
        model = model_zoo.get_config(f"{FOLDER}/{name}_r50_fpn_1x.py").model
        for key in ("anchor_generator", "pre_nms_topk", "post_nms_topk", "nms_thresh"):
            assert model.proposal_generator[key] == rpn[key], (name, key)
        assert is_of(model.backbone, "FPNWithInputs") == (name == "refine_rpn")
