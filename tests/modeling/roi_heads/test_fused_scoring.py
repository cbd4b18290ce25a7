"""What heads with fused scores have in common, whether points or deltas move their boxes."""

from __future__ import annotations

import pytest
import torch

from tests.modeling.roi_heads.toy_cascade import build_scored
from tests.modeling.roi_heads.toy_heads import (
    CLASSES,
    NOTHING,
    OBJECTS,
    batch_of,
    build_cpm,
    detect,
    features,
    train,
)

pytestmark = pytest.mark.parametrize("make", [build_cpm, build_scored])


@pytest.mark.parametrize("ism", [True, False])
@pytest.mark.parametrize("rsm", [True, False])
def test_either_module_alone(make, ism, rsm):
    heads = make(ism=ism, rsm=rsm)
    losses = train(heads, OBJECTS, NOTHING)
    assert ("loss_ism" in losses, "loss_rsm" in losses) == (ism, rsm)
    found = detect(heads, *batch_of(OBJECTS, NOTHING))
    assert all(len(x) > 0 and (x.scores.diff() <= 0).all() for x in found)


def test_what_gamma_leaves_to_either_side(make):
    heads, maps, boxes = make(), features(), batch_of(OBJECTS)

    def scores(gamma: float) -> torch.Tensor:
        heads.score_gamma = gamma
        return detect(heads, *boxes, maps=maps)[0].scores

    heads.resampling_scoring.cls_score.weight.data.zero_()  # any class is as likely
    torch.testing.assert_close(scores(0), torch.full((20,), 1 / (CLASSES + 1)))
    half, whole = scores(0.5), scores(1)
    torch.testing.assert_close(half, (whole / (CLASSES + 1)).sqrt())
    heads.resampling_scoring = None
    torch.testing.assert_close(scores(0.5), whole)


def test_without_gamma_boxes_keep_the_score_of_their_class(make):
    heads, maps, boxes = make(), features(), batch_of(OBJECTS)
    heads.score_gamma = None
    ours = detect(heads, *boxes, maps=maps)[0]
    heads.score_gamma, heads.iou_scoring, heads.resampling_scoring = 0.8, None, None
    without = detect(heads, *boxes, maps=maps)[0]
    assert torch.equal(ours.scores, without.scores)
    assert torch.equal(ours.pred_boxes.tensor, without.pred_boxes.tensor)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iou_target": "both"}, "iou_target is 'input' or 'output', not 'both'"),
        ({"resampling_positives": ""}, "resampling_positives is 'input' or 'output', not ''"),
        ({"score_gamma": 1.5}, "between 0 and 1, not 1.5"),
    ],
)
def test_wrong_arguments(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
