"""What all generators drop: boxes that are too small in the image before it was resized."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import ImageList

from cascade_rpn_d2.modeling import ResizedImageList
from cascade_rpn_d2.modeling.proposal_generator.base import DenseProposalGenerator

# Four cells of 16 px, one box each: 32 px wide and 16 high, square, narrow, and not finite.
BOXES = torch.tensor([[[0.0, 0, 32, 16], [0, 0, 20, 20], [0, 0, 8, 32], [0, 0, torch.nan, 32]]])
LOGITS = torch.tensor([[1.0, 2, 4, 3]])
SIZE = (32, 32)


def generator(size: float, topk: int = 10) -> DenseProposalGenerator:
    return DenseProposalGenerator(
        in_features=["x"],
        anchor_generator=DefaultAnchorGenerator(sizes=[[16]], aspect_ratios=[1.0], strides=[16]),
        pre_nms_topk=(topk, topk),
        post_nms_topk=(10, 10),
        nms_thresh=0.99,
        min_original_size=size,
        size_divisibility=16,
    ).eval()


def kept(size: float, original: tuple[int, int], topk: int = 10) -> list[float]:
    """The logits of the proposals of images that have been resized from ``original``."""
    module = generator(size, topk)
    images = ResizedImageList(torch.zeros(1, 3, *SIZE), [SIZE], [original])
    grids = module.grids([torch.zeros(1, 1, 2, 2)])
    (found,) = module.select(BOXES, LOGITS, grids, images)
    return found.objectness_logits.tolist()


def test_the_least_size_is_in_pixels_of_the_original_image():
    assert kept(0, SIZE) == [4, 2, 1]
    assert kept(16, SIZE) == [2, 1]  # as it is: the narrow one is dropped, 16 is enough
    assert kept(17, SIZE) == [2]
    assert kept(16, (64, 64)) == [4, 2, 1]  # half as large now: 8 px are enough
    assert kept(16, (24, 24)) == []  # 21.3 px now


def test_width_and_height_have_scales_of_their_own():
    assert kept(16, (32, 64)) == [4, 2, 1]  # 8 px in x, 16 in y
    assert kept(16, (31, 64)) == [4, 2]  # 16.5 in y
    assert kept(16, (64, 32)) == [2, 1]  # the narrow one is high enough


def test_what_is_too_small_takes_no_place_among_the_best_before_nms():
    assert kept(0, SIZE, topk=1) == [4]
    # As the box that is not finite would.
    assert kept(16, SIZE, topk=2) == [2]


def test_what_is_not_finite_is_still_an_error_of_a_training():
    module = generator(16).train()
    images = ResizedImageList(torch.zeros(1, 3, *SIZE), [SIZE], [SIZE])
    with pytest.raises(FloatingPointError, match="diverged"):
        module.select(BOXES, LOGITS, module.grids([torch.zeros(1, 1, 2, 2)]), images)


def test_a_model_that_does_not_tell_the_sizes_is_refused_in_words():
    module = generator(16)
    grids = module.grids([torch.zeros(1, 1, 2, 2)])
    images = ImageList(torch.zeros(1, 3, *SIZE), [SIZE])
    with pytest.raises(ValueError, match="min_original_size is 16, .*take OriginalSizeRCNN or"):
        module.select(BOXES, LOGITS, grids, images)
    assert len(generator(0).select(BOXES, LOGITS, grids, images)[0]) == 3
