"""One number for all that limits the detections of an image."""

from __future__ import annotations

import pytest
from detectron2.config import instantiate

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.max_detections import max_detections, set_max_detections


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x", 100),
        ("cascade_rpn/cascade_rpn_cascade_rcnn_r50_fpn_1x", 100),
        ("grid_rcnn/grid_rcnn_r50_fpn_2x", 100),
        ("cpm_rcnn/cpm_rcnn_r50_fpn_2x", 96),
        ("guided_anchoring/ga_retinanet_r50_fpn_1x", 100),
        ("cascade_rpn/rpn_r50_fpn_1x", None),
    ],
)
def test_the_usual_limit_is_what_the_first_of_all_has(name, usual):
    assert max_detections(model_zoo.get_config(name)) == usual


def test_all_that_limits_detections_has_the_one_number():
    config = model_zoo.get_config("cascade_rpn/cascade_rpn_cascade_rcnn_r50_fpn_1x")
    config.tta = model_zoo.get_config("common/tta.py").tta
    set_max_detections(config, 1200)
    assert max_detections(config) == 1200
    assert config.tta.merge.topk == config.dataloader.evaluator.max_dets_per_image == 1200
    model = instantiate(config.model)
    assert {p.test_topk_per_image for p in model.roi_heads.box_predictor} == {1200}
    assert model.proposal_generator.post_nms_topk == {True: 1000, False: 1200}
    set_max_detections(config, 50)
    assert max_detections(config) == 50
    assert list(config.model.proposal_generator.post_nms_topk) == [1000, 1200]

    config = model_zoo.get_config("guided_anchoring/ga_retinanet_r50_fpn_1x")
    set_max_detections(config, 400)
    assert config.model.max_detections_per_image == max_detections(config) == 400


def test_proposals_have_no_such_limit():
    with pytest.raises(ValueError, match="post_nms_topk says: leave it out"):
        set_max_detections(model_zoo.get_config("cascade_rpn/rpn_r50_fpn_1x"), 200)
