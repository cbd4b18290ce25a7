from __future__ import annotations

import re

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_rpn_d2.layers import _library, sorted_nms
from cascade_rpn_d2.layers.nms import exact_threshold

compiled_only = pytest.mark.skipif(not _library.is_compiled(), reason="needs the compiled library")


def crowded_boxes(groups: int, count: int, seed: int, dtype=torch.float32) -> torch.Tensor:
    """(G, R, 4) boxes that overlap a lot, on a coarse grid so that equal IoUs occur."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 12, (groups, count, 2), generator=generator)
    side = torch.randint(0, 10, (groups, count, 2), generator=generator)  # some have no area
    return torch.cat([corner, corner + side], -1).to(dtype)


def one_by_one(boxes, valid, threshold):
    """What torchvision keeps of every group."""
    keep = torch.zeros_like(valid)
    for group in range(len(boxes)):
        index = valid[group].nonzero()[:, 0]
        scores = torch.arange(len(index), 0, -1).to(boxes.dtype)
        keep[group, index[torchvision.ops.nms(boxes[group, index], scores, threshold)]] = True
    return keep


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    groups=st.integers(1, 4),
    count=st.sampled_from([1, 2, 7, 63, 64, 65, 130]),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 0.7, 0.8, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
def test_keeps_what_torchvision_keeps(groups, count, threshold, dtype, seed, implementation):
    boxes = crowded_boxes(groups, count, seed, dtype)
    valid = torch.rand(groups, count, generator=torch.Generator().manual_seed(seed)) < 0.8
    assert torch.equal(sorted_nms(boxes, valid, threshold), one_by_one(boxes, valid, threshold))


@given(threshold=st.floats(allow_nan=False))
def test_a_float32_exceeds_a_threshold_as_it_does_in_float64(threshold):
    nearest = torch.tensor(threshold, dtype=torch.float32)
    for towards in (-torch.inf, threshold, torch.inf):
        value = torch.nextafter(nearest, torch.tensor(towards, dtype=torch.float32))
        expected = (value.double() > threshold).item()
        assert (value.item() > exact_threshold(threshold, torch.float32)) == expected
    assert exact_threshold(threshold, torch.float64) == threshold


@pytest.mark.usefixtures("implementation")
class TestWorkedExamples:
    # The second box has an IoU of 1/2 with the first and of 1/3 with the third.
    BOXES = torch.tensor([[[0.0, 0, 4, 2], [0, 0, 4, 1], [0, 0, 2, 2]]])

    def test_an_iou_equal_to_the_threshold_is_no_overlap(self):
        valid = torch.ones(1, 3, dtype=torch.bool)
        assert sorted_nms(self.BOXES, valid, 0.5).tolist() == [[True, True, True]]
        assert sorted_nms(self.BOXES, valid, 0.49).tolist() == [[True, False, False]]

    def test_a_suppressed_or_invalid_box_suppresses_nothing(self):
        valid = torch.tensor([[False, True, True]])
        assert sorted_nms(self.BOXES, valid, 0.4).tolist() == [[False, True, True]]
        assert sorted_nms(self.BOXES, valid, 0.3).tolist() == [[False, True, False]]

    def test_nothing_to_do(self):
        for shape in ((0, 5), (3, 0)):
            valid = torch.ones(shape, dtype=torch.bool)
            assert sorted_nms(torch.zeros(*shape, 4), valid, 0.5).shape == shape


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 64, 65, 2000])
def test_cuda_keeps_the_same_boxes(count):
    boxes, valid = crowded_boxes(7, count, 0), torch.rand(7, count) < 0.8
    on_gpu = sorted_nms(boxes.cuda(), valid.cuda(), 0.5)
    assert on_gpu.is_cuda and torch.equal(on_gpu.cpu(), sorted_nms(boxes, valid, 0.5))


@compiled_only
def test_opcheck():
    boxes, valid = crowded_boxes(2, 9, 0), torch.rand(2, 9) < 0.8
    torch.library.opcheck(torch.ops.cascade_rpn_d2.sorted_nms.default, (boxes, valid, 0.5))


@pytest.mark.parametrize(
    ("boxes", "valid", "error", "words"),
    [
        (torch.zeros(2, 3, 5), torch.ones(2, 3).bool(), ValueError, ["(G, R, 4)", "(2, 3, 5)"]),
        (torch.zeros(2, 3, 4), torch.ones(3, 2).bool(), ValueError, ["(G, R)", "(3, 2)"]),
        (torch.zeros(2, 3, 4).half(), torch.ones(2, 3).bool(), TypeError, ["float16"]),
        (torch.zeros(2, 3, 4), torch.ones(2, 3), TypeError, ["valid bool", "float32"]),
    ],
)
def test_wrong_arguments_end_in_one_sentence(boxes, valid, error, words):
    with pytest.raises(error) as caught:
        sorted_nms(boxes, valid, 0.5)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith(".") and not re.search(r"\n", message)
