"""The assigners by overlap, against worked numbers and loops; and the memory that all take."""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.matcher import Matcher
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
from cascade_rpn_d2.modeling.assignment import Assigner, Assignment
from tests.modeling.toy_truth import GRIDS, NUM_CELLS, ground_truth


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

    @pytest.mark.parametrize("value", [2.0, -1, float("nan")])
    def test_the_least_iou_of_a_claim_is_an_iou(self, value):
        with pytest.raises(ValueError, match=f"between 0 and 1, or None, not {value}"):
            IoUAssigner(min_positive_iou=value)
        for good in (0, 1, None):
            assert IoUAssigner(min_positive_iou=good).min_positive_iou == good

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
