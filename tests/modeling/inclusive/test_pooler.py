"""RoIAlign of boxes that name their last pixel."""

from __future__ import annotations

import pytest
import torch
from detectron2.structures import Boxes
from torchvision.ops import roi_align

from cascade_rpn_d2.modeling import InclusiveROIPooler

STRIDES = (4, 8, 16, 32)


def make(*, to_edges: bool = False, pooler_type: str = "ROIAlign") -> InclusiveROIPooler:
    return InclusiveROIPooler(
        output_size=2,
        scales=[1 / stride for stride in STRIDES],
        sampling_ratio=2,
        pooler_type=pooler_type,
        to_edges=to_edges,
    )


def maps(images: int = 1) -> list[torch.Tensor]:
    """Maps (N, 1, H, W) that tell their level and the place in it."""
    levels = []
    for level, stride in enumerate(STRIDES):
        side = 1024 // stride
        ramp = torch.arange(side, dtype=torch.float32) / side
        levels.append((1000 * level + ramp).expand(images, 1, side, side).contiguous())
    return levels


def levels_of(boxes: list, **options) -> list[int]:
    pooled = make(**options)(maps(), [Boxes(torch.tensor(boxes, dtype=torch.float32))])
    return (pooled.mean(dim=(1, 2, 3)) / 1000).round().long().tolist()


@pytest.mark.parametrize("to_edges", [False, True])
def test_the_level_is_that_of_all_pixels(to_edges):
    # 112 pixels are half of 224, and make the step to the second level; 111 do not.
    boxes = [[0, 0, 111, 111], [0, 0, 110, 110], [0, 0, 223, 223], [0, 0, 447, 447], [0, 0, 0, 0]]
    assert levels_of(boxes, to_edges=to_edges) == [1, 0, 2, 3, 0]


def test_the_last_pixel_is_taken_for_the_edge():
    box = torch.tensor([[17.0, 9, 60, 71]])
    found = make()(maps(), [Boxes(box)])
    expected = roi_align(maps()[0], [box], 2, 1 / 4, sampling_ratio=2, aligned=False)
    torch.testing.assert_close(found, expected)


def test_features_are_pooled_up_to_the_edges():
    box, edges = torch.tensor([[17.0, 9, 60, 71]]), torch.tensor([[17.0, 9, 61, 72]])
    found = make(to_edges=True)(maps(), [Boxes(box)])
    expected = roi_align(maps()[0], [edges], 2, 1 / 4, sampling_ratio=2, aligned=False)
    torch.testing.assert_close(found, expected)


def test_a_box_of_a_pixel_is_a_whole_cell_or_itself():
    # On a ramp a pooled value is that at the middle of the bin, a quarter and three in the box.
    cells = torch.arange(256.0).expand(1, 1, 256, 256).contiguous()
    features = [cells, *maps()[1:]]
    box = [Boxes(torch.tensor([[40.0, 40, 40, 40]]))]  # of stride 4, at 10.0
    assert make()(features, box)[0, 0, 0].tolist() == pytest.approx([10.25, 10.75])
    found = make(to_edges=True)(features, box)[0, 0, 0].tolist()
    assert found == pytest.approx([10.0625, 10.1875])


@pytest.mark.parametrize("to_edges", [False, True])
def test_images_and_levels_do_not_mix(to_edges):
    features = maps(images=2)
    for level in features:
        level[1] += 500
    boxes = [[0.0, 0, 300, 300], [8, 8, 30, 40]], [[100.0, 100, 800, 700]]
    lists = [Boxes(torch.tensor(x)) for x in boxes]
    pooled = make(to_edges=to_edges)(features, lists).mean(dim=(1, 2, 3))
    assert (pooled / 500).floor().tolist() == [4, 0, 7]
    alone = make(to_edges=to_edges)([x[:1] for x in features], lists[:1])
    assert torch.equal(make(to_edges=to_edges)(features, lists)[:2], alone)


def test_no_boxes_give_no_features():
    assert make()(maps(), [Boxes(torch.zeros(0, 4))]).shape == (0, 1, 2, 2)


def test_another_pooling_is_refused():
    with pytest.raises(ValueError, match="pooled with pooler_type='ROIAlign', not 'ROIAlignV2'"):
        make(pooler_type="ROIAlignV2")
