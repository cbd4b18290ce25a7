"""Grid R-CNN of mmdet and of its authors: every tensor and every edge of the grid at its place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cascade_rpn_d2.checkpoint import convert_state
from cascade_rpn_d2.checkpoint.grid_names import edges, join_edges
from cascade_rpn_d2.checkpoint.worlds import MMDET, PLUS
from cascade_rpn_d2.modeling.roi_heads.grid_head import PointFusion
from tests.checkpoint.foreign_states import (
    COUNTER,
    box_head,
    classifier,
    grid_head,
    make_state,
    stock_rpn,
    trunk,
)
from tests.checkpoint.models import model_of

# Kind -> (names and shapes of its heads, whether they are in the authors' coordinates)
KINDS = {
    "mmdet": (classifier() + grid_head(), False),
    "mmdet 1.x": (classifier("bbox_head") + grid_head("grid_head"), True),
    "Plus": (box_head("bbox_head", deltas=324) + grid_head("grid_head", plus=True), True),
}


def state_of(kind: str) -> dict[str, Tensor]:
    return make_state(trunk() + stock_rpn() + KINDS[kind][0])


def neighbors(point: int, size: int) -> list[int]:
    """As the reference codes list them: ascending."""
    column, row = divmod(point, size)
    around = ((column - 1, row), (column, row - 1), (column, row + 1), (column + 1, row))
    return [a * size + b for a, b in around if 0 <= a < size and 0 <= b < size]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_joined_edges_compute_what_the_separate_ones_do(size):
    """Against a module built as the reference codes have it."""
    channels = 3
    points = range(size**2)
    reference = nn.ModuleList(
        nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
                nn.Conv2d(channels, channels, 1),
            )
            for _ in neighbors(point, size)
        )
        for point in points
    )
    own, sent = torch.randn(2, 2, size**2 * channels, 7, 7)
    expected = []
    for point in points:
        total = own.chunk(len(points), dim=1)[point]
        for edge, neighbor in enumerate(neighbors(point, size)):
            total = total + reference[point][edge](sent.chunk(len(points), dim=1)[neighbor])
        expected.append(total)

    state = {f"head.forder_trans.{key}": value for key, value in reference.state_dict().items()}
    joined, sources = join_edges(state)
    fusion = PointFusion(size, channels)
    layers = {"depthwise": 0, "pointwise": 1}
    fusion.load_state_dict(
        {
            f"{name}.{part}": joined[f"head.forder_trans.*.*.{number}.{part}"]
            for name, number in layers.items()
            for part in ("weight", "bias")
        }
    )
    torch.testing.assert_close(fusion(own, sent), torch.cat(expected, dim=1))
    assert sorted(key for keys in sources.values() for key in keys) == sorted(state)


def test_edges_of_three_points_a_side():
    order = list(edges(3))
    assert order[:6] == [(point, 0) for point in range(3, 9)]  # from the left
    assert order[6:12] == [(1, 0), (2, 0), (4, 1), (5, 1), (7, 1), (8, 1)]  # from above
    assert order[18:] == [(0, 1), (1, 2), (2, 1), (3, 2), (4, 3), (5, 2)]  # from the right
    assert len(set(order)) == 24


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_every_tensor_of_every_kind_has_its_place(kind, wrapper):
    state, (_, authors) = state_of(kind), KINDS[kind]
    target = model_of("grid_rcnn", authors=authors)
    result = convert_state({wrapper + key: value for key, value in state.items()}, target)
    assert result.world is (PLUS if authors else MMDET)
    assert result.state.keys() == target.state_dict().keys()
    assert result.mapped.keys() | result.dropped.keys() == state.keys()
    assert set(result.mapped.values()) == result.state.keys()
    reasons = {why for key, why in result.dropped.items() if not key.endswith(COUNTER)}
    assert reasons == ({"deltas, which Grid R-CNN Plus does not use"} if kind == "Plus" else set())
    for key, ours in result.mapped.items():
        part = result.state[ours]
        if ".fuse" in ours:
            # 64 rows an edge, of which each tensor of the file is one.
            part = part.unflatten(0, (24, 64))
            part = part[(part.flatten(1)[:, 0] == state[key].flatten()[0]).nonzero()[:, 0]]
            assert len(part) == 1
            part = part[0]
        assert part.shape == state[key].shape and (part == state[key].flatten()[0]).all()


def test_names_and_shapes_are_those_of_the_recorded_model(shared_dir):
    recorded = torch.load(shared_dir / "reference/grid.pt", weights_only=True)["shapes"]
    expected = trunk() + stock_rpn() + classifier() + grid_head()
    assert {key: tuple(shape) for key, shape in recorded} == dict(expected)
    assert len(grid_head()) == 230


def test_a_few_names():
    mapped = convert_state(state_of("Plus"), model_of("grid_rcnn", authors=True)).mapped
    head = "roi_heads.grid_stages.0.head"
    assert {
        "grid_head.convs.3.0.weight": f"{head}.convs.3.conv.weight",
        "grid_head.convs.0.1.bias": f"{head}.convs.0.norm.bias",
        "grid_head.updeconv1.bias": f"{head}.deconv1.bias",
        "grid_head.sbn1.weight": f"{head}.norm1.weight",
        "grid_head.updeconv2.weight": f"{head}.deconv2.weight",
        "grid_head.firstOrderConvs.4.2.0.bias": f"{head}.fuse1.depthwise.bias",
        "grid_head.secondOrderConvs.8.1.1.weight": f"{head}.fuse2.pointwise.weight",
    }.items() <= mapped.items()
    mapped = convert_state(state_of("mmdet"), model_of("grid_rcnn")).mapped
    assert mapped["roi_head.grid_head.convs.7.gn.weight"] == f"{head}.convs.7.norm.weight"
    assert (
        mapped["roi_head.grid_head.sorder_trans.0.1.0.weight"] == f"{head}.fuse2.depthwise.weight"
    )


@pytest.mark.parametrize(("kind", "first"), [("mmdet", 0), ("mmdet 1.x", 1), ("Plus", 1)])
def test_only_older_files_have_the_background_first(kind, first):
    state, (_, authors) = state_of(kind), KINDS[kind]
    key = "bbox_head.fc_cls.bias" if authors else "roi_head.bbox_head.fc_cls.bias"
    state[key] = torch.arange(81.0)
    converted = convert_state(state, model_of("grid_rcnn", authors=authors)).state
    bias = converted["roi_heads.box_predictor.cls_score.bias"].tolist()
    assert bias == [*map(float, range(first, 81)), *map(float, range(first))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("forder_trans.4.2.0.weight", None), "lacks 'roi_head.grid_head.forder_trans.4.2.0.weigh"),
        (("sorder_trans.8.1.1.bias", None), "lacks 'roi_head.grid_head.sorder_trans.8.1.1.bias'"),
        (
            ("forder_trans.0.2.0.bias", (64,)),
            r"forder_trans.0.2.0.bias', for which a grid of 3 x 3",
        ),
        (
            ("forder_trans.9.0.0.bias", (64,)),
            r"forder_trans.\*.\*.0.bias' for 10 points, which are",
        ),
        (("forder_trans.2.1.1.bias", (32,)), r"forder_trans.2.1.1.bias' of shape \(32,\) beside"),
        (("offset_trans.weight", (1,)), "'roi_head.grid_head.offset_trans.weight', which is no we"),
        (("deconv2.bias", (16,)), r"deconv2.bias' of shape \(16,\) for 'roi_heads.grid_stages.0"),
        (("norm1.bias", None), "lacks 'roi_heads.grid_stages.0.head.norm1.bias'"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(change, message):
    state, (key, shape) = state_of("mmdet"), change
    if shape is None:
        del state[f"roi_head.grid_head.{key}"]
    else:
        state[f"roi_head.grid_head.{key}"] = torch.zeros(shape)
    with pytest.raises(ValueError, match=message) as caught:
        convert_state(state, model_of("grid_rcnn"))
    assert "\n" not in str(caught.value)


def test_fusion_must_be_in_the_file_and_in_the_model():
    whole = state_of("mmdet")
    without = {key: value for key, value in whole.items() if "order_trans" not in key}
    with pytest.raises(ValueError, match="lacks 'roi_heads.grid_stages.0.head.fuse1.depthwise.wei"):
        convert_state(without, model_of("grid_rcnn"))
    target = model_of("grid_rcnn").state_dict()
    shapes = {key: value.shape for key, value in target.items() if ".fuse" not in key}
    with pytest.raises(ValueError, match=r"fuse1.depthwise.weight' here\), which the model does n"):
        convert_state(whole, shapes)


def test_a_file_that_mmdets_upgrade_script_left_is_refused():
    state = make_state(trunk() + stock_rpn() + classifier() + grid_head("grid_head"))
    with pytest.raises(ValueError, match="'grid_head.convs.0.conv.weight' of an older.*original f"):
        convert_state(state, model_of("grid_rcnn"))
