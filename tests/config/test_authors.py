"""The authors' recipe."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import instantiate

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import use_authors_recipe
from cascade_rpn_d2.config.authors import PIXEL_MEAN
from cascade_rpn_d2.modeling import Grid, GroundTruth


def test_cascade_rpn():
    config = model_zoo.get_config("cascade_rpn/authors/cascade_rpn_r50_fpn_1x.py")
    generator = config.model.proposal_generator
    assert generator.anchor_generator.offset == generator.stages[1].align.center_offset == 0.5
    assert "center_offset" not in generator.stages[0].align
    assert generator.stages[0].assigner.legacy_edges
    assert instantiate(generator.stages[0].assigner).center_offset == 0.5
    assert tuple(config.model.pixel_mean) == PIXEL_MEAN
    # Proposals alone are kept as many in training as at test anyway.
    assert list(generator.pre_nms_topk) == list(generator.post_nms_topk) == [2000, 2000]


def test_stock_rpn_keeps_its_numbers_of_proposals():
    config = model_zoo.get_config("cascade_rpn/faster_rcnn_r50_fpn_1x.py")
    use_authors_recipe(config.model, config.lr_multiplier)
    assert list(config.model.proposal_generator.post_nms_topk) == [2000, 1000]
    assert config.model.proposal_generator.anchor_generator.offset == 0.5


def test_a_detector_in_one_stage():
    config = model_zoo.get_config("guided_anchoring/ga_retinanet_r50_fpn_1x.py")
    use_authors_recipe(config.model, config.lr_multiplier)
    assert config.model.anchor_generator.offset == 0.5
    assert tuple(config.model.pixel_mean) == PIXEL_MEAN


@pytest.mark.parametrize("authors", [False, True])
@pytest.mark.parametrize("name", ["ga_rpn_r50_fpn_1x.py", "ga_retinanet_r50_fpn_1x.py"])
def test_locations_are_learned_where_anchors_are_centred(name: str, authors: bool):
    config = model_zoo.get_config(f"guided_anchoring/{name}")
    if authors:
        use_authors_recipe(config.model, config.lr_multiplier)
    owner = config.model.get("proposal_generator") or config.model
    stride, offset = owner.anchor_generator.strides[0], owner.anchor_generator.offset
    grids = [Grid(64, 64, stride), Grid(32, 32, 2 * stride)]
    # Objects of 32 px, as large as the finest anchors, at every place within a cell.
    centers = 128 + torch.arange(4 * stride) / 4
    boxes = torch.stack((centers - 16, centers - 16, centers + 16, centers + 16), dim=1)[:, None]
    truth = GroundTruth(boxes, torch.ones(len(boxes), 1, dtype=torch.bool))
    labels = instantiate(owner.location_loss.assigner).assign_cells(truth, grids).labels
    positive = (labels[:, : grids[0].cells].unflatten(1, (64, 64)) == 1).any(dim=1).float()
    cells = (positive * torch.arange(64)).sum(dim=1) / positive.sum(dim=1)
    # Half a cell off would be 2 or 4 px; the authors' pixels are counted inclusively.
    shift = ((cells + offset) * stride - centers).mean().item()
    assert abs(shift) < stride / 4


def test_guided_anchors_without_a_location_branch():
    config = model_zoo.get_config("guided_anchoring/ablations/shape_r50_fpn_1x.py")
    use_authors_recipe(config.model, config.lr_multiplier)
    assert config.model.proposal_generator.anchor_generator.offset == 0.5


def test_a_backbone_with_its_own_deviation_keeps_its_mean():
    config = model_zoo.get_config("demo/cascade_rpn.py")
    before = list(config.model.pixel_mean)
    use_authors_recipe(config.model, config.lr_multiplier)
    assert list(config.model.pixel_mean) == before


def test_features_that_are_max_pooled_stay_so():
    config = model_zoo.get_config("faster_rcnn/faster_rcnn_vgg16.py")
    before = config.model.roi_heads.box_pooler
    pooled = (before.pooler_type, before.sampling_ratio)
    use_authors_recipe(config.model, config.lr_multiplier)
    after = config.model.roi_heads.box_pooler
    assert (after.pooler_type, after.sampling_ratio) == pooled == ("ROIPool", 0)
