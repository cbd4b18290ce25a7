"""Box coding, against the worked numbers of the reference and as an inverse pair."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform

from cascade_rpn_d2.layers import box_iou, clip_boxes
from cascade_rpn_d2.modeling import BoxCoder, SymmetricBox2BoxTransform

STAGE1 = BoxCoder((0.1, 0.1, 0.5, 0.5))
STAGE2 = BoxCoder((0.05, 0.05, 0.1, 0.1))


def test_two_stages_of_refinement():
    anchor = torch.tensor([4.0, -4, 36, 28])
    first = STAGE1.decode(anchor, torch.tensor([1.0, -2, 0.4, -0.6]))
    torch.testing.assert_close(first, torch.tensor([3.657557, -6.253091, 42.742447, 17.453091]))
    clipped = clip_boxes(first.view(1, 1, 4), torch.tensor([[256, 256]])).flatten()
    torch.testing.assert_close(clipped, torch.tensor([3.657557, 0, 42.742447, 17.453091]))
    second = STAGE2.decode(clipped, torch.tensor([1.0, 2, -1, 0.5]))
    torch.testing.assert_close(second, torch.tensor([7.471508, 1.297890, 42.836983, 19.645819]))
    target = torch.tensor([6.0, 0, 44, 22])
    torch.testing.assert_close(box_iou(first, target), torch.tensor(0.571906))
    torch.testing.assert_close(box_iou(clipped, target), torch.tensor(0.731306))


def test_decode_inverts_encode():
    corner = torch.rand(50, 2, dtype=torch.float64) * 100
    boxes = torch.cat((corner, corner + torch.rand(50, 2, dtype=torch.float64) * 60 + 1), dim=1)
    references, targets = boxes[:25], boxes[25:]
    deltas = STAGE1.encode(references, targets)
    torch.testing.assert_close(STAGE1.decode(references, deltas), targets)


def test_a_side_changes_by_a_bounded_factor_in_both_directions():
    box = torch.tensor([0.0, 0, 16, 16])
    grown = BoxCoder().decode(box, torch.tensor([0.0, 0, 100, -100]))
    assert math.isclose(grown[2] - grown[0], 1000, rel_tol=1e-5)
    assert math.isclose(grown[3] - grown[1], 16 * 16 / 1000, rel_tol=1e-4)


def test_an_empty_reference_gives_finite_numbers():
    empty = torch.tensor([5.0, 5, 5, 5])
    assert STAGE2.encode(empty, torch.tensor([0.0, 0, 10, 10])).isfinite().all()
    assert torch.equal(STAGE2.decode(empty, torch.ones(4)), empty)


def test_half_precision_deltas_are_decoded_in_float32():
    box = torch.tensor([1000.0, 1000, 1016, 1016])
    decoded = STAGE2.decode(box, torch.tensor([0.5, 0.5, 0, 0], dtype=torch.float16))
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded, box + 0.4)


@pytest.mark.parametrize("stds", [(0.1, 0.1, 0.5), (0.1, 0.1, 0.0, 0.5)])
def test_bad_stds(stds):
    with pytest.raises(ValueError, match="four positive numbers"):
        BoxCoder(stds)


def test_symmetric_transform_is_detectron2s_with_a_second_clamp():
    weights = (10.0, 10.0, 5.0, 5.0)
    ours, stock = SymmetricBox2BoxTransform(weights), Box2BoxTransform(weights)
    boxes = torch.tensor([[4.0, -4, 36, 28], [10, 6, 58, 30]])
    deltas = torch.randn(2, 12)
    torch.testing.assert_close(
        ours.apply_deltas(deltas, boxes), stock.apply_deltas(deltas, boxes), rtol=1e-5, atol=1e-4
    )
    targets = boxes + torch.tensor([3.0, -2, 9, 5])
    torch.testing.assert_close(ours.get_deltas(boxes, targets), stock.get_deltas(boxes, targets))

    shrinking = torch.tensor([[0.0, 0, -1000, -1000]])
    side = ours.apply_deltas(shrinking, boxes[:1])
    torch.testing.assert_close(side[0, 2:] - side[0, :2], torch.full((2,), 32 * 16 / 1000))
    side = stock.apply_deltas(shrinking, boxes[:1])
    assert (side[0, 2:] - side[0, :2] < 1e-6).all()


def test_symmetric_transform_wants_four_positive_weights():
    with pytest.raises(ValueError, match="four positive numbers"):
        SymmetricBox2BoxTransform((10, 10, 0, 5))


def test_a_limit_of_its_own():
    """Shapes of guided anchors may differ from their square by a factor of a million."""
    coder = BoxCoder((0.07, 0.07, 0.14, 0.14), max_side_ratio=1e6)
    boxes = coder.decode(torch.tensor([-16.0, -16, 16, 16]), torch.tensor([0.0, 0, 50, -200]))
    width, height = boxes[2] - boxes[0], boxes[3] - boxes[1]
    assert width.item() == pytest.approx(32 * math.exp(7), rel=1e-4)
    assert height.item() == pytest.approx(32e-6, abs=1e-5)
    with pytest.raises(ValueError, match="at least 1, not 0.5"):
        BoxCoder(max_side_ratio=0.5)


def test_only_growth_is_bounded_where_shrinking_is_not():
    """The same boxes as Detectron2's coding, for deltas far out too."""
    boxes = torch.tensor([[0.0, 0, 100, 50], [20, 10, 24, 400]])
    deltas = torch.tensor([[0.5, -2, -9, 9], [0, 0, 5, -6]])
    weights = (2.0, 2.0, 1.0, 1.0)
    coder = BoxCoder([0.5, 0.5, 1, 1], bounds_shrinking=False)
    expected = Box2BoxTransform(weights).apply_deltas(deltas, boxes)
    torch.testing.assert_close(coder.decode(boxes, deltas), expected)
    assert not torch.allclose(BoxCoder([0.5, 0.5, 1, 1]).decode(boxes, deltas), expected)
