"""The authors' geometry."""

from __future__ import annotations

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import use_authors_geometry
from cascade_rpn_d2.config.authors import PIXEL_MEAN


def test_cascade_rpn():
    config = model_zoo.get_config("cascade_rpn/authors/cascade_rpn_r50_fpn_1x.py")
    generator = config.model.proposal_generator
    assert generator.anchor_generator.offset == generator.stages[1].align.center_offset == 0.5
    assert "center_offset" not in generator.stages[0].align
    assert generator.stages[0].assigner.legacy_edges
    assert tuple(config.model.pixel_mean) == PIXEL_MEAN
    # Proposals alone are kept as many in training as at test anyway.
    assert list(generator.pre_nms_topk) == list(generator.post_nms_topk) == [2000, 2000]


def test_stock_rpn_keeps_its_numbers_of_proposals():
    config = model_zoo.get_config("cascade_rpn/faster_rcnn_r50_fpn_1x.py")
    use_authors_geometry(config.model, config.lr_multiplier)
    assert list(config.model.proposal_generator.post_nms_topk) == [2000, 1000]
    assert config.model.proposal_generator.anchor_generator.offset == 0.5


def test_a_detector_in_one_stage():
    config = model_zoo.get_config("guided_anchoring/ga_retinanet_r50_fpn_1x.py")
    use_authors_geometry(config.model, config.lr_multiplier)
    assert config.model.anchor_generator.offset == 0.5
    assert tuple(config.model.pixel_mean) == PIXEL_MEAN


def test_a_backbone_with_its_own_deviation_keeps_its_mean():
    config = model_zoo.get_config("demo/cascade_rpn.py")
    before = list(config.model.pixel_mean)
    use_authors_geometry(config.model, config.lr_multiplier)
    assert list(config.model.pixel_mean) == before
