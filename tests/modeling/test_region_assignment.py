"""The assigner by position, against the worked numbers of the reference and against loops."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from torch import Tensor

from cascade_rpn_d2.modeling import Grid, GroundTruth, RegionAssigner, region_assignment
from cascade_rpn_d2.modeling.assignment import Assignment
from cascade_rpn_d2.modeling.region_assignment import object_levels
from tests.modeling.toy_truth import GRIDS, NUM_CELLS, ground_truth

OPTIONS = [
    {},
    {"adjacent": "negatives", "overlap": "center", "keep_border": True},
    {"adjacent": "none", "legacy_edges": True},
    {"overlap": "center", "legacy_edges": True},
    {"adjacent": "negatives", "center_offset": 0.5},
]


def anchors(ratios: Sequence[float] = (1.0,), offset: float = 0.0) -> Tensor:
    """Anchors (R, 4) of 8 strides on every cell."""
    generator = DefaultAnchorGenerator(
        sizes=[[8 * grid.stride] for grid in GRIDS],
        aspect_ratios=ratios,
        strides=[grid.stride for grid in GRIDS],
        offset=offset,
    )
    levels = generator([torch.zeros(1, 1, grid.height, grid.width) for grid in GRIDS])
    return torch.cat([boxes.tensor for boxes in levels])


def assign_regions(truth: GroundTruth, **options) -> Assignment:
    """What square anchors learn."""
    assigner = RegionAssigner(**options)
    boxes = anchors(offset=assigner.center_offset).expand(len(truth.boxes), -1, -1)
    return assign_boxes(assigner, boxes, truth)


def assign_boxes(assigner: RegionAssigner, boxes: Tensor, truth: GroundTruth) -> Assignment:
    valid = torch.ones(boxes.shape[:2], dtype=torch.bool)
    return assigner(boxes, truth, GRIDS, boxes.shape[1] // NUM_CELLS, valid)


def random_objects(*counts: int, seed: int = 3) -> list[list[tuple[float, ...]]]:
    """For every image so many objects of 2 to 180 px."""
    generator = torch.Generator().manual_seed(seed)
    images = []
    for count in counts:
        center = torch.rand(count, 2, generator=generator) * 256
        size = (torch.rand(count, 2, generator=generator) * 4.5 + 0.7).exp()
        boxes = torch.cat((center - size / 2, center + size / 2), 1)
        images.append([tuple(b) for b in boxes.tolist()])
    return images


def maps(values: Tensor) -> list[Tensor]:
    """(R,) -> one (Hi, Wi) map a level."""
    parts = values.split([grid.cells for grid in GRIDS])
    return [x.reshape(g.height, g.width) for x, g in zip(parts, GRIDS, strict=True)]


def rectangle(mask: Tensor) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the cells in ``mask``."""
    rows, columns = mask.nonzero().T
    return rows.min().item(), rows.max().item(), columns.min().item(), columns.max().item()


class TestRegionAssigner:
    def test_one_object(self):
        labels = maps(assign_regions(ground_truth([(40, 48, 104, 112)])).labels[0])
        assert rectangle(labels[1] == 1) == (9, 11, 8, 10)
        assert (labels[1] == 1).sum() == 9
        assert rectangle(labels[1] != 0) == (8, 12, 7, 11)
        assert (labels[1] == -1).sum() == 16
        assert rectangle(labels[0] == -1) == (16, 24, 14, 22)
        assert (labels[0] == -1).sum() == 81
        assert rectangle(labels[2] == -1) == (4, 6, 4, 6)
        assert (labels[2] == -1).sum() == 9
        assert not (labels[0] == 1).any() and not (labels[2] == 1).any()
        assert not labels[3].any() and not labels[4].any()

    def test_one_object_of_guided_anchoring(self):
        """The worked example of an object of 80 px: 9 of 25 cells, 121 and 9 beside it."""
        truth = ground_truth([(40, 40, 120, 120)])
        labels = maps(assign_regions(truth, adjacent="negatives", overlap="center").labels[0])
        assert (labels[1] == 1).sum() == 9
        assert (labels[1] != 0).sum() == 25
        assert [(x == -1).sum().item() for x in labels] == [121, 16, 9, 0, 0]
        assert all(not (x == 1).any() for i, x in enumerate(labels) if i != 1)

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_a_centre_comes_before_the_surroundings_of_another_object(self, order):
        boxes = [(40, 48, 104, 112), (60, 68, 124, 132)]
        truth = ground_truth([boxes[i] for i in order])
        labels = maps(assign_regions(truth, overlap="center").labels[0])[1]
        alone = [maps(assign_regions(ground_truth([box])).labels[0])[1] for box in boxes]
        assert torch.equal(labels == 1, (alone[0] == 1) | (alone[1] == 1))
        assert torch.equal(labels != 0, (alone[0] != 0) | (alone[1] != 0))

    def test_an_object_at_the_far_border(self):
        truth = ground_truth([(255, 100, 256, 101)])
        assert not (assign_regions(truth).labels == 1).any()
        labels = maps(assign_regions(truth, keep_border=True).labels[0])
        assert rectangle(labels[0] == 1) == (25, 25, 63, 63)

    def test_one_object_as_the_authors_round(self):
        truth = ground_truth([(40, 48, 104, 112)])
        labels = maps(assign_regions(truth, adjacent="none", legacy_edges=True).labels[0])
        assert rectangle(labels[1] == 1) == (9, 10, 8, 9)
        assert (labels[1] == 1).sum() == 4
        assert rectangle(labels[1] != 0) == (8, 11, 7, 10)
        assert (labels[1] == -1).sum() == 12
        assert not labels[0].any() and not labels[2].any()

    @pytest.mark.parametrize(
        ("order", "positives", "ignored"), [((0, 1), (7, 4), 33), ((1, 0), (3, 9), 32)]
    )
    def test_the_last_of_overlapping_objects_decides(self, order, positives, ignored):
        boxes = [(40, 48, 104, 112), (60, 68, 124, 132)]
        result = assign_regions(ground_truth([boxes[i] for i in order]))
        labels, matched = maps(result.labels[0])[1], maps(result.matched[0])[1]
        counts = tuple(((labels == 1) & (matched == i)).sum().item() for i in range(2))
        assert counts == positives
        assert (labels == -1).sum() == ignored

    def test_concentric_objects_of_adjacent_levels_wipe_each_other_out(self):
        truth = ground_truth([(40, 48, 104, 112), (16, 24, 144, 152)])
        assert not (assign_regions(truth).labels == 1).any()
        kept = assign_regions(truth, adjacent="none", legacy_edges=True).labels[0]
        assert [(x == 1).sum().item() for x in maps(kept)] == [0, 4, 6, 0, 0]

    def test_adjacent_negatives_spares_positives(self):
        truth = ground_truth([(40, 48, 104, 112), (16, 24, 144, 152)])
        all_, spared, none = (
            assign_regions(truth, adjacent=kind).labels for kind in ("all", "negatives", "none")
        )
        assert torch.equal(spared == 1, none == 1)
        assert torch.equal(spared == 0, all_ == 0)

    def test_an_object_whose_middle_is_beyond_the_last_cell(self):
        # Its centre region rounds to column 64 of 64: no cell, but for the legacy rule.
        truth = ground_truth([(253, 100, 256, 103)])
        assert not (assign_regions(truth).labels == 1).any()
        legacy = assign_regions(truth, legacy_edges=True, adjacent="none").labels
        assert (legacy == 1).any()

    @pytest.mark.parametrize("options", OPTIONS)
    def test_anchors_of_any_shape_are_assigned_as_their_cells(self, options):
        truth = ground_truth(*random_objects(30, 12))
        # Half of these have edges that float32 rounds, and so no middle that is quite their cell.
        ratios = (0.5, 1.0, 2.0, 0.3)
        assigner = RegionAssigner(**options)
        boxes = anchors(ratios, assigner.center_offset).expand(2, -1, -1)
        found, cells = assign_boxes(assigner, boxes, truth), assigner.assign_cells(truth, GRIDS)
        assert {label.item() for label in found.labels.unique()} == {-1, 0, 1}
        assert torch.equal(found.labels, cells.labels.repeat_interleave(4, dim=1))
        assert torch.equal(found.matched, cells.matched.repeat_interleave(4, dim=1))

    def test_boxes_that_moved_are_assigned_by_where_they_are(self):
        truth = ground_truth([(24, 24, 88, 88)])
        moved = anchors()[None] + torch.tensor([48.0, 32, 48, 32])
        labels = assign_boxes(RegionAssigner(), moved, truth).labels
        x1, y1, x2, y2 = moved[labels == 1].T
        assert len(x1) == 9
        assert ((x1 + x2) / 2).unique().tolist() == [48, 56, 64]
        assert ((y1 + y2) / 2).unique().tolist() == [48, 56, 64]

    @pytest.mark.parametrize("at_once", [26, 5])
    @pytest.mark.parametrize("options", OPTIONS)
    def test_boxes_that_moved_equal_a_loop_in_float64(self, options, at_once, monkeypatch):
        monkeypatch.setattr(region_assignment, "_OBJECTS", at_once)
        images = random_objects(0, 2, 16, seed=5)
        assigner = RegionAssigner(**options)
        boxes = moved_boxes(len(images), num_anchors=2, offset=assigner.center_offset)
        result = assign_boxes(assigner, boxes, ground_truth(*images))
        counts = Counter(result.labels.flatten().tolist())
        assert min(counts[-1], counts[0], counts[1]) > 30
        for image, objects in enumerate(images):
            labels, matched = moved_loop(boxes[image], objects, assigner)
            assert result.labels[image].tolist() == labels
            positive = result.labels[image] == 1
            assert result.matched[image][positive].tolist() == matched

    @pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, -1e30, 1e30, -3.0, 300.0])
    def test_a_box_that_is_nowhere_on_the_map_learns_nothing(self, x):
        boxes = anchors()[None].clone()
        boxes[..., 0::2] = x
        truth = ground_truth([(0, 0, 256, 256), (-20, -20, 4, 4), (252, 252, 270, 270)])
        labels = assign_boxes(RegionAssigner(ignore_ratio=1.0), boxes, truth).labels
        assert not labels.any()

    def test_a_box_at_the_far_edge_is_beyond_the_last_cell(self):
        boxes = anchors()[None].clone()
        boxes[..., 0::2] = 256.0  # without width, as clipping leaves boxes
        truth = ground_truth([(240, 120, 272, 136)])
        labels = assign_boxes(RegionAssigner(), boxes, truth).labels
        assert (labels == 1).any()
        assert not assign_boxes(RegionAssigner(keep_border=True), boxes, truth).labels.any()

    @pytest.mark.parametrize("at_once", [26, 7, 1])
    def test_equals_a_loop_over_objects(self, at_once, monkeypatch):
        monkeypatch.setattr(region_assignment, "_OBJECTS", at_once)
        images = random_objects(0, 1, 7, 60)
        result = assign_regions(ground_truth(*images))
        for image, boxes in enumerate(images):
            labels, matched = region_loop(boxes)
            assert torch.equal(result.labels[image].int(), labels)
            positive = labels == 1
            assert torch.equal(result.matched[image][positive], matched[positive])

    def test_cells_that_are_not_valid_are_ignored(self):
        truth = ground_truth([(40, 48, 104, 112)])
        valid = torch.rand(1, NUM_CELLS) < 0.5
        labels = RegionAssigner()(anchors()[None], truth, GRIDS, 1, valid).labels
        assert (labels[~valid] == -1).all()
        assert torch.equal(labels[valid], assign_regions(truth).labels[valid])

    def test_no_object_means_all_negative(self):
        assert not assign_regions(ground_truth([], [])).labels.any()

    @pytest.mark.parametrize(
        "options", [{"adjacent": "some"}, {"center_ratio": 0.6}, {"center_ratio": 0.0}]
    )
    def test_bad_options(self, options):
        with pytest.raises(ValueError, match="adjacent|center_ratio"):
            RegionAssigner(**options)


def region_loop(boxes: list[tuple[float, ...]]) -> tuple[Tensor, Tensor]:
    """The rule as the papers tell it: object by object, in order."""
    labels = [torch.zeros(g.height, g.width, dtype=torch.int32) for g in GRIDS]
    matched = [torch.zeros(g.height, g.width, dtype=torch.int64) for g in GRIDS]
    flags = [torch.zeros(g.height, g.width, dtype=torch.bool) for g in GRIDS]

    def region(box, grid, ratio):
        x1, y1, x2, y2 = (torch.tensor(v) / grid.stride for v in box)
        r = (1 - ratio) / 2
        ends = [torch.round((1 - r) * a + r * b) for a, b in ((x1, x2), (y1, y2))]
        ends += [torch.round(r * a + (1 - r) * b) for a, b in ((x1, x2), (y1, y2))]
        limits = [grid.width, grid.height] * 2
        left, top, right, bottom = (
            int(v.clamp(0, limit)) for v, limit in zip(ends, limits, strict=True)
        )
        return slice(top, bottom + 1), slice(left, right + 1)

    for index, box in enumerate(boxes):
        area = torch.tensor((box[2] - box[0]) * (box[3] - box[1]))
        level = int((area.sqrt().log2() - 5 + 0.5).floor().clamp(0, 4))
        labels[level][region(box, GRIDS[level], 0.5)] = -1
        labels[level][region(box, GRIDS[level], 0.2)] = 1
        matched[level][region(box, GRIDS[level], 0.2)] = index
        for near in (level - 1, level + 1):
            if 0 <= near < len(GRIDS):
                flags[near][region(box, GRIDS[near], 0.5)] = True
    for level_labels, flag in zip(labels, flags, strict=True):
        level_labels[flag] = -1
    return torch.cat([x.flatten() for x in labels]), torch.cat([x.flatten() for x in matched])


def moved_boxes(num_images: int, num_anchors: int, offset: float) -> Tensor:
    """Boxes (N, R, 4), half of them centred on cells other than their own."""
    generator = torch.Generator().manual_seed(11)
    levels = []
    for grid in GRIDS:
        shape = (num_images, grid.cells * num_anchors, 2)
        center = torch.rand(shape, generator=generator) * 300 - 22
        on_cell = ((center / grid.stride).round() + offset) * grid.stride
        half = torch.randint(1, 40, shape, generator=generator) / 2
        which = torch.rand(shape, generator=generator) < 0.5
        center = torch.where(which, on_cell, center)
        levels.append(torch.cat((center - half, center + half), dim=-1))
    return torch.cat(levels, dim=1)


def moved_loop(
    boxes: Tensor, objects: list[tuple[float, ...]], rule: RegionAssigner
) -> tuple[list[int], list[int]]:
    """Labels of all boxes and the objects of the positive ones: box by box, in float64."""
    size = [math.sqrt((x2 - x1) * (y2 - y1)) for x1, y1, x2, y2 in objects]
    level_of = [min(max(math.floor(math.log2(s / 32) + 0.5), 0), len(GRIDS) - 1) for s in size]

    def inside(cell: tuple[float, float], box: tuple[float, ...], grid: Grid, ratio: float) -> bool:
        for axis, cells in enumerate((grid.width, grid.height)):
            low, high = box[axis] / grid.stride, box[axis + 2] / grid.stride
            if rule.legacy_edges:
                low, high = low + 0.5 / grid.stride - 0.5, high - 0.5 / grid.stride - 0.5
            limit = cells - 1 if rule.keep_border else cells
            middle, reach = (low + high) / 2, (high - low) / 2 * ratio
            first, last = (
                min(max(round(edge), 0), limit) for edge in (middle - reach, middle + reach)
            )
            if not first <= cell[axis] <= last:
                return False
        return True

    labels, matched = [], []
    of_level = boxes.split([2 * grid.cells for grid in GRIDS])
    for level, (grid, found) in enumerate(zip(GRIDS, of_level, strict=True)):
        for x1, y1, x2, y2 in found.tolist():
            x, y = (x1 + x2) / 2 / grid.stride, (y1 + y2) / 2 / grid.stride
            cell = (x - rule.center_offset, y - rule.center_offset)
            label, learns, beside = 0, -1, False
            for index, box in enumerate(objects):
                if not inside(cell, box, grid, rule.ignore_ratio):
                    continue
                if level_of[index] == level:
                    if inside(cell, box, grid, rule.center_ratio):
                        label, learns = 1, index
                    elif rule.overlap == "last" or label != 1:
                        label = -1
                beside |= abs(level_of[index] - level) == 1
            if beside and (rule.adjacent == "all" or (rule.adjacent == "negatives" and label == 0)):
                label = -1
            labels.append(label)
            matched.extend([learns] if label == 1 else [])
    return labels, matched


def test_levels_change_halfway_between_anchors():
    sides = torch.tensor([4.0, 45.0, 46.0, 90.0, 91.0, 181.0, 182.0, 362.0, 363.0, 2000.0])
    boxes = torch.stack((sides * 0, sides * 0, sides, sides), dim=1)
    levels = object_levels(boxes, [4, 8, 16, 32, 64], 8.0)
    assert levels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
