"""The network of a stage: its layers, its fusion against one written out, how it starts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from torch import nn

from cascade_rpn_d2.modeling import GridHead
from cascade_rpn_d2.modeling.roi_heads.grid_head import PointFusion
from tests.modeling.roi_heads.toy_heads import grid_head

PUBLISHED = ShapeSpec(channels=256, height=14, width=14)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def small(grid_size=3, **changes) -> GridHead:
    shape = ShapeSpec(channels=8, height=14, width=14)
    arguments = {"num_convs": 2, "point_channels": 4}
    return GridHead(shape, grid_size=grid_size, **arguments | changes)


@pytest.fixture(scope="module")
def published() -> GridHead:
    return GridHead(PUBLISHED)


def test_layers_are_those_of_the_released_heads(published):
    fusion = parameters(published.fuse1) + parameters(published.fuse2)
    assert fusion == 279_552
    assert parameters(published) - fusion == 22_843_593
    assert parameters(published.convs) == 22_242_816
    assert published.output_shape == ShapeSpec(channels=576, height=7, width=7)
    assert published.convs[0].conv.weight.shape == (576, 256, 3, 3)
    assert published.convs[7].norm.num_groups == 36 and published.norm1.num_groups == 9
    assert published.deconv1.weight.shape == (576, 64, 4, 4)
    assert published.deconv2.weight.shape == (576, 1, 4, 4)


def test_shapes(published):
    prediction = published.eval()(torch.randn(2, 256, 14, 14))
    assert prediction.logits.shape == (2, 9, 28, 28)
    assert prediction.features.shape == (2, 576, 7, 7)
    assert prediction.unfused_logits is None


@pytest.mark.parametrize("grid_size", [2, 3, 4])
@pytest.mark.parametrize("fusion", [False, True])
def test_any_number_of_points(grid_size, fusion):
    head = small(grid_size, fusion=fusion).train()
    points = grid_size**2
    prediction = head(torch.randn(3, 8, 14, 14))
    assert prediction.logits.shape == (3, points, 28, 28)
    assert prediction.features.shape == (3, 4 * points, 7, 7)
    if fusion:
        assert prediction.unfused_logits.shape == prediction.logits.shape
    else:
        assert prediction.unfused_logits is None and head.fuse1 is None
        assert parameters(head.eval()) == parameters(small(grid_size, fusion=False))


def neighbors(point: int, size: int) -> list[tuple[str, int]]:
    """Who sends to a point, in ascending order: left, above, below, right of it."""
    column, row = divmod(point, size)
    around = (("left", column - 1, row), ("above", column, row - 1),
              ("below", column, row + 1), ("right", column + 1, row))  # fmt: skip
    return [(side, c * size + r) for side, c, r in around if 0 <= c < size and 0 <= r < size]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_fusion_is_a_convolution_for_every_edge(size):
    channels, points = 4, size**2
    fusion = PointFusion(size, channels)
    own, sent = torch.randn(2, 2, points * channels, 7, 7)
    expected = list(own.chunk(points, dim=1))
    # Edges as PointFusion orders them: by side, then by the point that receives.
    edges = [
        (side, point, sender)
        for side in ("left", "above", "below", "right")
        for point in range(points)
        for s, sender in neighbors(point, size)
        if s == side
    ]
    assert len(edges) == 4 * size * (size - 1) == fusion.pointwise.groups
    for index, (_, point, sender) in enumerate(edges):
        part = slice(index * channels, (index + 1) * channels)
        x = sent[:, sender * channels : (sender + 1) * channels]
        x = F.conv2d(x, fusion.depthwise.weight[part], fusion.depthwise.bias[part], padding=2,
                     groups=channels)  # fmt: skip
        x = F.conv2d(x, fusion.pointwise.weight[part], fusion.pointwise.bias[part])
        expected[point] = expected[point] + x
    assert torch.allclose(fusion(own, sent), torch.cat(expected, dim=1), atol=1e-5)


def test_the_second_round_starts_from_the_features_again():
    head = small()
    pooled = torch.randn(2, 8, 14, 14)
    features = head.convs(pooled)
    fused = head.fuse2(features, head.fuse1(features, features))
    assert torch.allclose(head.eval()(pooled).logits, head._heat_maps(fused), atol=1e-6)
    trained = head.train()(pooled)
    assert torch.allclose(trained.logits, head._heat_maps(fused), atol=1e-6)
    assert torch.allclose(trained.unfused_logits, head._heat_maps(features), atol=1e-6)


def test_points_have_their_own_deconvolutions():
    head = small(fusion=False).eval()
    features = torch.randn(1, 36, 7, 7)
    before = head._heat_maps(features)
    features[:, 4:8] += 1  # of the second point
    changed = (head._heat_maps(features) != before).flatten(2).any(dim=2)[0]
    assert changed.tolist() == [p == 1 for p in range(9)]


@pytest.mark.parametrize("init, trunk, depthwise, deconv", [
    ("plus", 0.01964, 0.283, 0.0010), ("mmdet", 0.01964, 0.035, 0.0010),
    ("pytorch", 0.00802, 0.1155, 0.0181),
])  # fmt: skip
def test_start(init, trunk, depthwise, deconv):
    head = GridHead(PUBLISHED, num_convs=2, init=init)
    assert head.convs[1].conv.weight.std().item() == pytest.approx(trunk, rel=0.02)
    assert head.fuse1.depthwise.weight.std().item() == pytest.approx(depthwise, rel=0.03)
    assert head.deconv1.weight.std().item() == pytest.approx(deconv, rel=0.03)
    logits = head.eval()(torch.randn(2, 256, 14, 14)).logits
    # 15 times the loss of a map that is nearly all background.
    loss = 15 * F.softplus(logits).mean().item()
    assert 8 < loss < 18 if init == "pytorch" else loss < 0.7  # 15 ln 2 is 10.4


def test_no_boxes_still_reach_every_parameter():
    for fusion in (False, True):
        head = grid_head(fusion).train()
        prediction = head(torch.zeros(0, 4, 4, 4))
        assert prediction.logits.shape == (0, 9, 8, 8)
        sum(x.sum() for x in prediction if x is not None).backward()
        assert all((p.grad == 0).all() for p in head.parameters())


def test_what_cannot_be_says_so():
    with pytest.raises(ValueError, match="square of features with an even side, not 7 x 7"):
        GridHead(ShapeSpec(channels=8, height=7, width=7))
    with pytest.raises(ValueError, match="36 groups of a norm do not divide 27 channels"):
        small(point_channels=3)
    with pytest.raises(ValueError, match="init is 'plus', 'mmdet' or 'pytorch', not 'zeros'"):
        small(init="zeros")
    with pytest.raises(ValueError, match="2 x 2 points.*grid_size=1"):
        small(1)
