from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_rpn_d2.layers import _library, soft_nms

compiled_only = pytest.mark.skipif(not _library.is_compiled(), reason="needs the compiled library")
METHODS = ["linear", "gaussian"]
many = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def crowd(count: int, names: int, seed: int, *, ties: bool = False):
    """Boxes (R, 4) that overlap a lot, scores (R,) and groups (R,); float64.

    Corners are integers, so that an IoU is the same however it is rounded on the way; some boxes
    have no area. With ``ties``, many scores are equal.
    """
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 12, (count, 2), generator=generator)
    side = torch.randint(0, 10, (count, 2), generator=generator)
    scores = torch.rand(count, generator=generator, dtype=torch.double)
    if ties:
        scores = (scores * 8).round() / 8
    groups = 5 - torch.randint(0, names, (count,), generator=generator)
    return torch.cat([corner, corner + side], -1).double(), scores, groups


def reference(boxes, scores, groups, method, iou_threshold, sigma, min_score):
    """Soft-NMS as it is told, with Python's floats."""
    boxes, running, result = boxes.tolist(), scores.tolist(), [0.0] * len(scores)

    def iou(a, b):
        width = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0)
        height = max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
        area_a, area_b = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
        union = area_a + area_b - width * height
        return width * height / union if union else 0.0

    for name in set(groups.tolist()):
        left = [i for i, group in enumerate(groups.tolist()) if group == name]
        while left := [i for i in left if running[i] >= min_score]:
            best = max(left, key=lambda i: running[i])  # the first of equal ones
            left.remove(best)
            result[best] = running[best]
            for i in left:
                overlap = iou(boxes[i], boxes[best])
                if method == "gaussian":
                    running[i] *= math.exp(-(overlap**2) / sigma)
                elif overlap > iou_threshold:
                    running[i] *= 1 - overlap
    return torch.tensor(result, dtype=torch.double)


@many
@given(
    count=st.sampled_from([1, 2, 7, 33, 90]),
    names=st.integers(1, 4),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]),
    min_score=st.sampled_from([0.0, 1e-4, 0.125, 0.3]),
    ties=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_linear_is_the_reference_to_the_last_bit(
    count, names, threshold, min_score, ties, seed, implementation
):
    boxes, scores, groups = crowd(count, names, seed, ties=ties)
    decayed = soft_nms(boxes, scores, groups, iou_threshold=threshold, min_score=min_score)
    expected = reference(boxes, scores, groups, "linear", threshold, 1.0, min_score)
    assert torch.equal(decayed, expected)


# No ties: scores that are equal but for rounding would come in another order.
@many
@given(
    count=st.sampled_from([1, 2, 7, 33, 90]),
    names=st.integers(1, 4),
    sigma=st.sampled_from([0.1, 0.5, 2.0]),
    min_score=st.sampled_from([0.0, 1e-4, 0.3]),
    seed=st.integers(0, 2**16),
)
def test_gaussian_is_the_reference(count, names, sigma, min_score, seed, implementation):
    boxes, scores, groups = crowd(count, names, seed)
    decayed = soft_nms(boxes, scores, groups, method="gaussian", sigma=sigma, min_score=min_score)
    expected = reference(boxes, scores, groups, "gaussian", 0.5, sigma, min_score)
    torch.testing.assert_close(decayed, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_float32_is_near_the_reference(method, implementation):
    boxes, scores, groups = crowd(90, 3, 0)
    decayed = soft_nms(boxes.float(), scores.float(), groups, method=method)
    assert decayed.dtype == torch.float32
    expected = reference(boxes, scores, groups, method, 0.5, 0.5, 1e-4)
    torch.testing.assert_close(decayed.double(), expected, rtol=3e-6, atol=0)


@compiled_only
@pytest.mark.parametrize("method", METHODS)
def test_thousands_of_boxes_in_a_group_give_what_the_fallback_gives(method, monkeypatch):
    arguments = crowd(3000, 1, 0)
    compiled = soft_nms(*arguments, method=method)
    monkeypatch.setattr(_library, "_kernel_devices", frozenset())
    monkeypatch.setattr(_library, "_warned", True)
    torch.testing.assert_close(soft_nms(*arguments, method=method), compiled, rtol=1e-9, atol=0)


@pytest.mark.usefixtures("implementation")
class TestWorkedExamples:
    # IoU of the first and the second 0.8, of the first and the third 0.6, of the others 0.4.
    BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 4, 10, 10]])
    SCORES = torch.tensor([0.9, 0.8, 0.5])

    def run(self, scores=SCORES, groups=(0, 0, 0), **options):
        return soft_nms(self.BOXES, scores, torch.tensor(groups), **options).tolist()

    def test_linear(self):
        assert self.run() == pytest.approx([0.9, 0.8 * 0.2, 0.5 * 0.4])
        # The third, at 0.2, now comes before the second, at 0.16.
        assert self.run(iou_threshold=0.3) == pytest.approx([0.9, 0.8 * 0.2 * 0.6, 0.5 * 0.4])
        assert self.run(iou_threshold=0.7) == pytest.approx([0.9, 0.8 * 0.2, 0.5])

    def test_gaussian(self):
        # The third, at 0.243, now comes before the second, at 0.222.
        expected = [0.9, 0.8 * math.exp(-1.28 - 0.32), 0.5 * math.exp(-0.72)]
        assert self.run(method="gaussian") == pytest.approx(expected)
        # The second, at 0.422, still comes before the third, at 0.349.
        expected = [0.9, 0.8 * math.exp(-0.64), 0.5 * math.exp(-0.36 - 0.16)]
        assert self.run(method="gaussian", sigma=1.0) == pytest.approx(expected)

    def test_an_iou_equal_to_the_threshold_costs_nothing(self):
        boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 1]])  # IoU 1/2
        scores, groups = torch.tensor([0.9, 0.8]), torch.zeros(2).long()
        assert soft_nms(boxes, scores, groups, iou_threshold=0.5).tolist() == scores.tolist()
        decayed = soft_nms(boxes, scores, groups, iou_threshold=0.49)
        assert decayed.tolist() == pytest.approx([0.9, 0.4])

    def test_the_first_of_equal_scores_is_taken(self):
        equal = torch.full((3,), 0.5)
        assert self.run(equal) == pytest.approx([0.5, 0.1, 0.2])

    def test_what_falls_below_the_least_score_is_discarded(self):
        assert self.run(min_score=0.18) == pytest.approx([0.9, 0, 0.2])
        assert self.run(min_score=0.1, iou_threshold=0.3) == pytest.approx([0.9, 0, 0.2])

    def test_a_box_below_the_least_score_from_the_start_decays_no_other(self):
        low = torch.tensor([0.09, 0.08, 0.07])
        assert self.run(low, min_score=0.1) == [0, 0, 0]  # the very first box too
        assert self.run(low, min_score=0.08, iou_threshold=1.0) == pytest.approx([0.09, 0.08, 0])

    def test_the_least_score_is_kept(self):
        assert self.run(torch.tensor([0.25, 0, 0]), min_score=0.25) == [0.25, 0, 0]

    def test_boxes_of_different_groups_do_not_meet(self):
        assert self.run(groups=(7, -3, 7)) == pytest.approx([0.9, 0.8, 0.2])

    def test_equal_boxes_leave_nothing_of_each_other(self):
        boxes, groups = self.BOXES[:1].expand(3, 4), torch.zeros(3).long()
        for min_score in (0.0, 1e-4):
            decayed = soft_nms(boxes, self.SCORES, groups, min_score=min_score)
            assert decayed.tolist() == self.SCORES[:1].tolist() + [0, 0]

    def test_no_boxes(self):
        decayed = soft_nms(torch.zeros(0, 4), torch.zeros(0).half(), torch.zeros(0).long())
        assert decayed.shape == (0,) and decayed.dtype == torch.float32

    @pytest.mark.parametrize("method", METHODS)
    def test_a_score_that_is_nan_is_discarded(self, method):
        scores = torch.tensor([math.nan, 0.8, 0.5])
        without = soft_nms(self.BOXES[1:], scores[1:], torch.zeros(2).long(), method=method)
        assert self.run(scores, method=method) == [0, *without.tolist()]
        assert self.run(torch.full((3,), math.nan), method=method) == [0, 0, 0]

    @pytest.mark.parametrize("method", METHODS)
    def test_infinity_is_the_greatest_score(self, method):
        _, *others = self.run(torch.tensor([2.0, 0.8, 0.5]), method=method)
        infinite = torch.tensor([math.inf, 0.8, 0.5])
        assert self.run(infinite, method=method) == [math.inf, *others]
        assert self.run(torch.tensor([math.inf, math.inf, -math.inf])) == [math.inf, math.inf, 0]
        twins, groups = self.BOXES[:1].expand(2, 4), torch.zeros(2).long()
        assert soft_nms(twins, torch.tensor([math.inf] * 2), groups).tolist() == [math.inf, 0]

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_box_that_is_not_finite_meets_no_other(self, method, value):
        boxes = self.BOXES.clone()
        boxes[0, 2] = value
        decayed = soft_nms(boxes, self.SCORES, torch.zeros(3).long(), method=method)
        without = soft_nms(boxes[1:], self.SCORES[1:], torch.zeros(2).long(), method=method)
        assert decayed.tolist() == [self.SCORES[0].item(), *without.tolist()]


@pytest.mark.usefixtures("implementation")
class TestProperties:
    given_crowd = given(
        count=st.sampled_from([1, 2, 7, 33, 90]),
        names=st.integers(1, 4),
        seed=st.integers(0, 2**16),
        method=st.sampled_from(METHODS),
        min_score=st.sampled_from([0.0, 1e-4, 0.2]),
    )

    @many
    @given_crowd
    def test_a_score_never_grows_nor_ends_below_the_least(
        self, count, names, seed, method, min_score
    ):
        boxes, scores, groups = crowd(count, names, seed, ties=True)
        decayed = soft_nms(boxes, scores, groups, method=method, min_score=min_score)
        assert (decayed <= scores).all()
        assert ((decayed >= min_score) | (decayed == 0)).all()

    @many
    @given_crowd
    def test_the_best_box_of_a_group_keeps_its_score(self, count, names, seed, method, min_score):
        boxes, scores, groups = crowd(count, names, seed, ties=True)
        decayed = soft_nms(boxes, scores, groups, method=method, min_score=min_score)
        for name in groups.unique():
            members = groups == name
            best = scores[members].argmax()  # the first of equal ones
            kept = scores[members][best] >= min_score
            assert decayed[members][best] == (scores[members][best] if kept else 0)

    @many
    @given_crowd
    def test_groups_are_independent(self, count, names, seed, method, min_score):
        boxes, scores, groups = crowd(count, names, seed, ties=method == "linear")
        options = {"method": method, "min_score": min_score}
        together = soft_nms(boxes, scores, groups, **options)
        for name in groups.unique():
            members = groups == name
            alone = soft_nms(boxes[members], scores[members], groups[members], **options)
            torch.testing.assert_close(together[members], alone, rtol=1e-12, atol=0)

    @many
    @given_crowd
    def test_the_order_of_boxes_does_not_matter_without_ties(
        self, count, names, seed, method, min_score
    ):
        boxes, scores, groups = crowd(count, names, seed)
        options = {"method": method, "min_score": min_score}
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        shuffled = soft_nms(boxes[order], scores[order], groups[order], **options)
        expected = soft_nms(boxes, scores, groups, **options)[order]
        torch.testing.assert_close(shuffled, expected, rtol=1e-12, atol=0)

    @many
    @given_crowd
    def test_no_iou_exceeds_a_threshold_of_1(self, count, names, seed, method, min_score):
        boxes, scores, groups = crowd(count, names, seed, ties=True)
        decayed = soft_nms(boxes, scores, groups, iou_threshold=1.0, min_score=min_score)
        assert torch.equal(decayed, torch.where(scores >= min_score, scores, 0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_scores_decay_in_float32(dtype, autocast, implementation):
    boxes, scores, groups = crowd(33, 2, 0)
    boxes, scores = boxes.float(), scores.to(dtype)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        decayed = soft_nms(boxes, scores, groups)
    assert decayed.dtype == torch.float32
    assert torch.equal(decayed, soft_nms(boxes, scores.float(), groups))


def test_the_wider_dtype_is_computed_in(implementation):
    boxes, scores, groups = crowd(33, 2, 0)
    expected = soft_nms(boxes, scores, groups)
    assert torch.equal(soft_nms(boxes.float(), scores, groups), expected)  # integers: exact
    assert soft_nms(boxes, scores.float(), groups).dtype == torch.float64


def test_arguments_stay_as_they_are_and_any_strides_will_do(implementation):
    boxes, scores, groups = crowd(33, 2, 0)
    expected = soft_nms(boxes, scores, groups)
    strided = boxes.T.contiguous().T, torch.stack([scores, scores], 1)[:, 0], groups
    copies = [tensor.clone() for tensor in strided]
    assert torch.equal(soft_nms(*strided), expected)
    assert all(torch.equal(a, b) for a, b in zip(strided, copies, strict=True))


def test_there_is_no_gradient(implementation):
    boxes, scores, groups = crowd(7, 2, 0)
    decayed = soft_nms(boxes.requires_grad_(), scores.requires_grad_(), groups)
    assert not decayed.requires_grad


@compiled_only
@pytest.mark.parametrize("gaussian", [False, True])
def test_opcheck(gaussian):
    arguments = (*crowd(9, 2, 0), gaussian, 0.5, 0.5, 1e-4)
    torch.library.opcheck(torch.ops.cascade_rpn_d2.soft_nms.default, arguments)


@compiled_only
def test_shapes_are_known_without_values():
    boxes, scores, groups = crowd(9, 2, 0)
    on_meta = soft_nms(boxes.to("meta"), scores.half().to("meta"), groups.to("meta"))
    assert on_meta.is_meta and on_meta.shape == (9,) and on_meta.dtype == torch.float64
    compiled = torch.compile(soft_nms, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(boxes, scores, groups), soft_nms(boxes, scores, groups))


BOXES, SCORES, GROUPS = torch.zeros(3, 4), torch.zeros(3), torch.zeros(3).long()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((torch.zeros(3, 5), SCORES, GROUPS), {}, ValueError, ["(R, 4)", "(3, 5)"]),
        ((torch.zeros(()), SCORES, GROUPS), {}, ValueError, ["(R, 4)", "()"]),
        ((BOXES, torch.zeros(2), GROUPS), {}, ValueError, ["scores (R,)", "(2,)"]),
        ((BOXES, SCORES, torch.zeros(3, 1)), {}, ValueError, ["groups (R,)", "(3, 1)"]),
        ((BOXES.half(), SCORES, GROUPS), {}, TypeError, ["boxes", "float16"]),
        ((BOXES, GROUPS, GROUPS), {}, TypeError, ["scores must be floating point", "int64"]),
        ((BOXES, SCORES, GROUPS.int()), {}, TypeError, ["groups int64", "int32"]),
        ((BOXES, SCORES, GROUPS.to("meta")), {}, ValueError, ["one device", "meta"]),
        ((BOXES, SCORES, GROUPS), {"method": "hard"}, ValueError, ["linear, gaussian", "'hard'"]),
        ((BOXES, SCORES, GROUPS), {"iou_threshold": 1.5}, ValueError, ["[0, 1]", "1.5"]),
        ((BOXES, SCORES, GROUPS), {"iou_threshold": math.nan}, ValueError, ["[0, 1]", "nan"]),
        ((BOXES, SCORES, GROUPS), {"sigma": 0.0}, ValueError, ["sigma", "positive", "0.0"]),
        ((BOXES, SCORES, GROUPS), {"min_score": -0.1}, ValueError, ["min_score", "-0.1"]),
    ],
)
def test_wrong_arguments_end_in_one_sentence(arguments, options, error, words):
    with pytest.raises(error) as caught:
        soft_nms(*arguments, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith(".") and not re.search(r"\n", message)


@compiled_only
def test_the_operator_itself_refuses_what_would_leave_its_memory():
    operator, rest = torch.ops.cascade_rpn_d2.soft_nms, (False, 0.5, 0.5, 1e-4)
    with pytest.raises(RuntimeError, match="on one device"):
        operator(BOXES, torch.zeros(2), GROUPS, *rest)
    with pytest.raises(TypeError, match="one dtype"):
        operator(BOXES.double(), SCORES, GROUPS, *rest)


def check_cuda(boxes, scores, groups, tolerance, **options):
    on_gpu = boxes.cuda(), scores.cuda(), groups.cuda()
    first = soft_nms(*on_gpu, **options)
    torch.cuda.set_sync_debug_mode("error")
    try:
        second = soft_nms(*on_gpu, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert second.is_cuda and torch.equal(first, second)
    expected = soft_nms(boxes, scores, groups, **options)
    torch.testing.assert_close(second.cpu(), expected, rtol=tolerance, atol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("min_score", [0.0, 1e-4])
@pytest.mark.parametrize(("count", "names"), [(0, 1), (1, 1), (40, 7), (3000, 80), (5000, 1)])
def test_cuda_decays_linearly_to_the_same_bits(count, names, min_score, dtype):
    boxes, scores, groups = crowd(count, names, 0, ties=True)
    scores[::97], scores[::89], boxes[::83, 1] = math.nan, math.inf, math.nan
    check_cuda(boxes.to(dtype), scores.to(dtype), groups, 0.0, min_score=min_score)


# Many scores of float32 would hold some whose order hangs on how an exponential is rounded.
@pytest.mark.gpu
@pytest.mark.parametrize(
    ("count", "names", "dtype", "tolerance"),
    [
        (40, 7, torch.float32, 1e-5),
        (40, 7, torch.float64, 1e-12),
        (3000, 80, torch.float64, 1e-12),
        (5000, 1, torch.float64, 1e-11),
    ],
)
def test_cuda_decays_to_the_same_gaussian(count, names, dtype, tolerance):
    boxes, scores, groups = crowd(count, names, 0)
    check_cuda(boxes.to(dtype), scores.to(dtype), groups, tolerance, method="gaussian")
