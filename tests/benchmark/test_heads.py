"""Proposal heads: inputs, weights that act like trained ones, inference and training steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.benchmark.head import head_rows
from cascade_rpn_d2.benchmark.heads import (
    JITTER,
    build_cascade_rpn,
    build_head,
    check_heads,
    head_inputs,
    outputs_of,
    pyramid_convolution,
    random_truth,
    run_head,
    scale_outputs,
    with_one_anchor,
)
from cascade_rpn_d2.benchmark.train_step import TrainStep, train_step_rows
from tests.benchmark.cases import ONE_PAIR, TINY

CASCADE, RPN = "demo/cascade_rpn.py", "demo/rpn.py"
CASE = replace(TINY, boxes=None)


def test_outputs_are_scaled_to_the_wanted_statistics():
    layer = nn.Conv2d(6, 2, 1)
    maps = [torch.rand(2, 6, 9, 9) + 3, torch.rand(2, 6, 4, 4)]

    def values():
        outputs = outputs_of(layer, lambda: [layer(x) for x in maps])
        return torch.cat([x.detach().transpose(0, 1).flatten(1) for x in outputs], dim=1)

    scale_outputs(layer, values(), [0.5, 2.0])
    torch.testing.assert_close(values().mean(dim=1), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(values().std(dim=1), torch.tensor([0.5, 2.0]))
    assert not layer._forward_hooks


def test_the_first_stage_jitters_as_a_trained_one():
    head, inputs = build_cascade_rpn(CASCADE, CASE)
    stage, kept = head.stages[0], []
    hook = stage.predictor.register_forward_hook(lambda *call: kept.append(call[2].deltas))
    run_head(head.eval(), inputs, CASE)
    hook.remove()
    spread = kept[0].flatten(0, 1).std(dim=0) * torch.tensor(stage.box_coder.stds)
    torch.testing.assert_close(spread, torch.tensor(JITTER))
    assert JITTER[0] * 8 == pytest.approx(12**-0.5)  # cells: even over a cell


def test_one_pyramid_convolution_is_a_convolution_of_every_map():
    inputs = head_inputs(replace(CASE, batch=2), 8, ["p2", "p3", "p4", "p5", "p6"])
    assert [len(x) for x in inputs.features.values()] == [2] * 5
    outputs = pyramid_convolution(inputs)
    for x, y in zip(inputs.features.values(), outputs, strict=True):
        assert y.shape == x.shape and not y.requires_grad
    assert outputs[0].std() == pytest.approx(1.0, abs=0.1)


def test_a_head_is_built_with_the_same_weights_every_time():
    config = model_zoo.get_config(RPN)
    first, second = build_head(config, CASE), build_head(config, CASE)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert build_head(with_one_anchor(config), CASE).anchor_generator.num_anchors == [1] * 5


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((CASCADE, "cascade_rpn/rpn_r50_fpn_1x.py"), "has 64 channels and .* has 256"),
        ((CASCADE, "demo/rnp.py"), "did you mean"),
    ],
)
def test_heads_for_different_maps_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        check_heads(*names)


def test_a_head_without_stages_is_refused():
    with pytest.raises(ValueError, match="demo/rpn.py has no Cascade RPN"):
        build_cascade_rpn(RPN, CASE)


def test_ground_truth_lies_in_the_image():
    truth = random_truth(replace(CASE, batch=2))
    assert [len(x) for x in truth] == [10, 10]
    boxes = torch.cat([x.gt_boxes.tensor for x in truth])
    assert (boxes >= 0).all() and (boxes[:, 2:] <= torch.tensor([96.01, 64.01])).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 15.99).all()


def test_rows_of_the_heads():
    rows = list(head_rows(TINY, ONE_PAIR, CASCADE, RPN))
    assert [(row.quantity, row.target) for row in rows] == [
        ("Cascade RPN head / pyramid convolution", 3.0),
        ("RPN head, 3 anchors / pyramid convolution", None),
        ("RPN head, 1 anchor / pyramid convolution", None),
        ("Cascade RPN head / RPN head, 3 anchors", None),
        ("Cascade RPN head / mmdet's Cascade RPN head", None),
    ]
    assert all(row.ratio > 0 and row.case == CASE for row in rows[:4])


def test_a_training_step_leaves_gradients_and_starts_without_them():
    head, inputs = build_cascade_rpn(CASCADE, CASE)
    step = TrainStep(head, inputs, CASE)
    first = step()
    tensors = [*head.parameters(), *step.features.values()]
    assert all(t.grad is not None for t in tensors)
    gradient = step.features["p2"].grad.clone()
    assert first > 0 and head.training and step.storage.iter == 1
    assert not inputs.features["p2"].requires_grad
    torch.manual_seed(0)
    step()
    once = [t.grad.clone() for t in tensors]
    torch.manual_seed(0)
    step()
    for t, expected in zip(tensors, once, strict=True):
        torch.testing.assert_close(t.grad, expected)  # not added up
    assert gradient.shape == step.features["p2"].shape


def test_rows_of_the_training_steps():
    rows = list(train_step_rows(TINY, ONE_PAIR, CASCADE, RPN))
    assert [(row.quantity, row.target) for row in rows] == [
        ("Cascade RPN training step / pyramid convolution", 9.0),
        ("RPN training step / pyramid convolution", None),
        ("Cascade RPN training step / RPN training step", None),
    ]
    assert all(row.ratio > 0 for row in rows)
