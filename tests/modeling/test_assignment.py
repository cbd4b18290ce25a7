"""The two assigners, against the worked numbers of the reference and against loops."""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, Instances
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cascade_rpn_d2.layers import box_iou, pairwise_box_iou
from cascade_rpn_d2.modeling import (
    Grid,
    GroundTruth,
    IoUAssigner,
    RegionAssigner,
    VariableIoUAssigner,
    assignment,
)
from cascade_rpn_d2.modeling.assignment import Assigner, Assignment, object_levels

GRIDS = [Grid(64, 64, 4), Grid(32, 32, 8), Grid(16, 16, 16), Grid(8, 8, 32), Grid(4, 4, 64)]
NUM_CELLS = sum(grid.cells for grid in GRIDS)


def ground_truth(*images: list[tuple[float, ...]]) -> GroundTruth:
    instances = []
    for boxes in images:
        x = Instances((256, 256))
        x.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
        instances.append(x)
    return GroundTruth.from_instances(instances)


def assign_regions(truth: GroundTruth, num_anchors: int = 1, **options) -> Assignment:
    num_images = len(truth.boxes)
    size = NUM_CELLS * num_anchors
    boxes = torch.zeros(num_images, size, 4)
    valid = torch.ones(num_images, size, dtype=torch.bool)
    return RegionAssigner(**options)(boxes, truth, GRIDS, num_anchors, valid)


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

    def test_every_anchor_of_a_cell_is_assigned_alike(self):
        truth = ground_truth([(40, 48, 104, 112)])
        one, three = assign_regions(truth), assign_regions(truth, num_anchors=3)
        assert torch.equal(three.labels, one.labels.repeat_interleave(3, dim=1))

    @pytest.mark.parametrize("comparisons", [2**24, 3 * 4 * NUM_CELLS, 1])
    def test_equals_a_loop_over_objects(self, comparisons, monkeypatch):
        monkeypatch.setattr(assignment, "_COMPARISONS", comparisons)
        generator = torch.Generator().manual_seed(3)
        images = []
        for count in (0, 1, 7, 40):
            center = torch.rand(count, 2, generator=generator) * 256
            size = (torch.rand(count, 2, generator=generator) * 3.2 + 2).exp()
            images.append(
                [tuple(b) for b in torch.cat((center - size / 2, center + size / 2), 1).tolist()]
            )
        result = assign_regions(ground_truth(*images))
        for image, boxes in enumerate(images):
            labels, matched = region_loop(boxes)
            assert torch.equal(result.labels[image].int(), labels)
            positive = labels == 1
            assert torch.equal(result.matched[image][positive], matched[positive])

    def test_cells_that_are_not_valid_are_ignored(self):
        truth = ground_truth([(40, 48, 104, 112)])
        valid = torch.rand(1, NUM_CELLS) < 0.5
        boxes = torch.zeros(1, NUM_CELLS, 4)
        labels = RegionAssigner()(boxes, truth, GRIDS, 1, valid).labels
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


def test_levels_change_halfway_between_anchors():
    sides = torch.tensor([4.0, 45.0, 46.0, 90.0, 91.0, 181.0, 182.0, 362.0, 363.0, 2000.0])
    boxes = torch.stack((sides * 0, sides * 0, sides, sides), dim=1)
    levels = object_levels(boxes, [4, 8, 16, 32, 64], 8.0)
    assert levels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


class TestIoUAssigner:
    def assign(self, boxes: Tensor, truth: GroundTruth, **options) -> Assignment:
        valid = options.pop("valid", torch.ones(boxes.shape[:2], dtype=torch.bool))
        return IoUAssigner(**options)(boxes, truth, [], 1, valid)

    def test_bands(self):
        # IoU with the object: 1, 0.75, 0.5, 0
        boxes = torch.tensor([[[0, 0, 8, 8], [0, 0, 8, 6], [0, 0, 8, 4], [20, 20, 28, 28.0]]])
        truth = ground_truth([(0, 0, 8, 8)])
        result = self.assign(boxes, truth, positive_iou=0.7, negative_iou=0.4)
        assert result.labels.tolist() == [[1, 1, -1, 0]]
        result = self.assign(boxes, truth, positive_iou=0.7, negative_iou=0.7)
        assert result.labels.tolist() == [[1, 1, 0, 0]]

    def test_every_object_claims_its_best_box(self):
        # The first object overlaps a box at 0.5 only; the second at less than the least IoU.
        boxes = torch.tensor([[[0, 0, 8, 4], [50, 50, 60, 60], [100, 100, 101, 101.0]]])
        truth = ground_truth([(0, 0, 8, 8), (50, 50, 52, 52)])
        assert self.assign(boxes, truth).labels.tolist() == [[1, 0, 0]]
        assert self.assign(boxes, truth, min_positive_iou=None).labels.tolist() == [[0, 0, 0]]

    def test_all_ties_are_claimed_and_the_last_object_wins(self):
        boxes = torch.tensor([[[0, 0, 8, 4], [0, 4, 8, 8.0]]])  # each half of the objects
        truth = ground_truth([(0, 0, 8, 8), (0, 0, 8, 8)])
        result = self.assign(boxes, truth)
        assert result.labels.tolist() == [[1, 1]]
        assert result.matched.tolist() == [[1, 1]]

    def test_a_claim_takes_the_box_from_a_better_match(self):
        # The box fits the first object perfectly, yet it is all the second one has.
        boxes = torch.tensor([[[0, 0, 8, 8.0]]])
        result = self.assign(boxes, ground_truth([(0, 0, 8, 8), (0, 0, 8, 4)]))
        assert result.matched.tolist() == [[1]]

    def test_a_claim_by_label_alone_leaves_the_box_with_its_better_match(self):
        """Three quarters of the second box are the first object, a claimed half the second one."""
        boxes = torch.tensor([[[0, 0, 8, 8], [0, 0, 8, 6.0]]])
        truth = ground_truth([(0, 0, 8, 8), (0, 3, 8, 6)])
        found = self.assign(boxes, truth, positive_iou=0.9, claims="label")
        assert (found.labels.tolist(), found.matched.tolist()) == ([[1, 1]], [[0, 0]])
        assert self.assign(boxes, truth, positive_iou=0.9).matched.tolist() == [[0, 1]]

    def test_claims_by_label_are_those_of_detectron2s_matcher(self):
        generator = torch.Generator().manual_seed(2)
        corner = torch.rand(60, 2, generator=generator) * 30
        boxes = torch.cat((corner, corner + 4 + torch.rand(60, 2, generator=generator) * 20), 1)
        objects, anchors = boxes[:6], boxes[6:]
        matcher = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True)
        matched, labels = matcher(box_iou(objects[:, None], anchors[None]))
        truth = ground_truth([tuple(x) for x in objects.tolist()])
        options = {"negative_iou": 0.3, "min_positive_iou": 0.0, "claims": "label"}
        found = self.assign(anchors[None], truth, **options)
        assert found.labels[0].tolist() == labels.tolist()
        assert found.matched[0].tolist() == matched.tolist()

    def test_an_object_nothing_overlaps_claims_nothing(self):
        boxes = torch.tensor([[[0, 0, 8, 8], [20, 20, 30, 30.0]]])
        result = self.assign(boxes, ground_truth([(100, 100, 120, 120)]), min_positive_iou=0.0)
        # With a least IoU of 0 every box attains the best IoU of 0, as in the reference.
        assert result.labels.tolist() == [[1, 1]]
        result = self.assign(boxes, ground_truth([(100, 100, 120, 120)]))
        assert result.labels.tolist() == [[0, 0]]

    def test_padding_of_the_batch_is_no_object(self):
        boxes = torch.zeros(2, 3, 4)
        boxes[:, 0] = torch.tensor([10, 10, 20, 20.0])
        result = self.assign(boxes, ground_truth([], [(10, 10, 20, 20), (50, 50, 60, 60)]))
        assert result.labels.tolist() == [[0, 0, 0], [1, 0, 0]]

    def test_boxes_that_are_not_valid_neither_learn_nor_compete(self):
        boxes = torch.tensor([[[0, 0, 8, 8], [0, 0, 8, 4.0]]])
        valid = torch.tensor([[False, True]])
        result = self.assign(boxes, ground_truth([(0, 0, 8, 8)]), valid=valid)
        assert result.labels.tolist() == [[-1, 1]]

    @pytest.mark.parametrize("comparisons", [2**24, 5 * 3 * 300, 1])
    def test_equals_a_loop_over_objects(self, comparisons, monkeypatch):
        monkeypatch.setattr(assignment, "_COMPARISONS", comparisons)
        generator = torch.Generator().manual_seed(5)

        def random_boxes(count, scale):
            corner = torch.rand(count, 2, generator=generator) * 60
            size = torch.rand(count, 2, generator=generator) * scale + 4
            return torch.cat((corner, corner + size), dim=1).round()

        boxes = torch.stack([random_boxes(300, 30) for _ in range(3)])
        objects = [random_boxes(count, 30) for count in (12, 1, 5)]
        result = self.assign(
            boxes, ground_truth(*[[tuple(b) for b in o.tolist()] for o in objects])
        )
        for image, found in enumerate(objects):
            iou = box_iou(found[:, None], boxes[image][None])
            labels = torch.zeros(300, dtype=torch.int8)
            best, matched = iou.max(dim=0)
            labels[best >= 0.7] = 1
            for index in range(len(found)):
                if iou[index].max() >= 0.3:
                    for box in (iou[index] == iou[index].max()).nonzero().flatten():
                        labels[box], matched[box] = 1, index
            assert torch.equal(result.labels[image], labels)
            assert torch.equal(result.matched[image][labels == 1], matched[labels == 1])

    def test_nan_stays_nan_whichever_part_it_is_in(self, monkeypatch):
        boxes = torch.tensor([[[0.0, 0, 8, 8], [math.nan, 0, 8, 8], [40, 40, 48, 48]]])
        truth = ground_truth([(0, 0, 8, 8), (1, 0, 8, 8), (0, 0, 8, 7)])
        at_once = self.assign(boxes, truth)
        monkeypatch.setattr(assignment, "_COMPARISONS", 1)
        part_by_part = self.assign(boxes, truth)
        assert at_once.labels.tolist() == part_by_part.labels.tolist()

    def test_bad_thresholds(self):
        with pytest.raises(ValueError, match="negative_iou=0.8"):
            IoUAssigner(positive_iou=0.7, negative_iou=0.8)

    def test_claims_are_of_two_kinds(self):
        with pytest.raises(ValueError, match="'match' or 'label', not 'best'"):
            IoUAssigner(claims="best")


class TestVariableIoUAssigner:
    def squares(self) -> Tensor:
        """(1, R, 4): squares of 8 strides on every cell."""
        boxes = []
        for grid in GRIDS:
            y, x = torch.meshgrid(
                torch.arange(grid.height), torch.arange(grid.width), indexing="ij"
            )
            center = torch.stack((x, y), dim=-1).reshape(-1, 2) * float(grid.stride)
            boxes.append(torch.cat((center - 4 * grid.stride, center + 4 * grid.stride), dim=1))
        return torch.cat(boxes)[None]

    def test_is_the_best_of_nine_anchors(self):
        anchors = DefaultAnchorGenerator(
            sizes=[[8 * g.stride * 2 ** (i / 3) for i in range(3)] for g in GRIDS],
            aspect_ratios=[0.5, 1.0, 2.0],
            strides=[g.stride for g in GRIDS],
            offset=0.0,
        )([torch.zeros(1, 1, g.height, g.width) for g in GRIDS])
        boxes = torch.cat([x.tensor for x in anchors])[None]  # (1, R*9, 4)
        truth = ground_truth([(40, 40, 120, 120), (10, 30, 90, 60), (200, 0, 256, 200)])
        expected = pairwise_box_iou(truth.boxes, boxes).unflatten(2, (-1, 9)).amax(dim=3)
        found = VariableIoUAssigner()._overlaps(self.squares(), truth.boxes, GRIDS)
        torch.testing.assert_close(found, expected)

    def test_more_shapes_never_overlap_less(self):
        truth = ground_truth([(40, 40, 120, 120), (10, 30, 90, 60), (200, 0, 256, 200)])
        octaves = {n: [2 ** (i / n) for i in range(n)] for n in (1, 3, 6)}
        few, nine, many = (
            VariableIoUAssigner(octave_scales=scales)._overlaps(self.squares(), truth.boxes, GRIDS)
            for scales in octaves.values()
        )
        assert (few <= nine).all() and (nine <= many).all()
        assert (few < nine).any() and (nine < many).any()

    def test_a_long_object_is_learned_where_a_square_would_not_fit(self):
        truth = ground_truth([(64, 96, 192, 144)])
        valid = torch.ones(1, NUM_CELLS, dtype=torch.bool)
        by_square = IoUAssigner(0.7, 0.3, None)(self.squares(), truth, GRIDS, 1, valid)
        by_shape = VariableIoUAssigner(min_positive_iou=None)(
            self.squares(), truth, GRIDS, 1, valid
        )
        assert not (by_square.labels == 1).any()
        assert (by_shape.labels == 1).any()

    def test_needs_one_box_a_cell(self):
        truth = ground_truth([(64, 96, 192, 144)])
        boxes = self.squares().repeat_interleave(3, dim=1)
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool)
        with pytest.raises(ValueError, match=f"{3 * NUM_CELLS} boxes for {NUM_CELLS} cells"):
            VariableIoUAssigner()(boxes, truth, GRIDS, 3, valid)

    def test_needs_a_shape(self):
        with pytest.raises(ValueError, match="at least one"):
            VariableIoUAssigner(aspect_ratios=[])


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive at once, of whichever device."""

    def __init__(self) -> None:
        super().__init__()
        self.users: Counter[int] = Counter()  # tensors of a storage
        self.bytes = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                size = storage.nbytes()
                self._use(storage._cdata, size, 1)
                weakref.finalize(tensor, self._use, storage._cdata, size, -1)
        return result

    def _use(self, storage: int, size: int, change: int) -> None:
        before, after = self.users[storage], self.users[storage] + change
        self.bytes += size * ((after > 0) - (before > 0))
        self.users[storage] = after
        self.peak = max(self.peak, self.bytes)


@pytest.mark.parametrize("make", [IoUAssigner, VariableIoUAssigner, RegionAssigner])
def test_a_thousand_objects_an_image_take_less_than_a_gigabyte(make: Callable[[], Assigner]):
    grids = [Grid(-(-800 // s), -(-1333 // s), s) for s in (4, 8, 16, 32, 64)]
    with torch.device("meta"):  # sizes without numbers
        boxes = torch.zeros(1, sum(g.cells for g in grids), 4).expand(2, -1, -1)
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool)
        truth = GroundTruth(torch.zeros(2, 1000, 4), torch.ones(2, 1000, dtype=torch.bool))
    with PeakMemory() as memory:
        result = make()(boxes, truth, grids, 1, valid)
    assert result.labels.shape == valid.shape
    assert result.labels.numel() < memory.peak < 2**30
