"""fc6 and fc7 as a box head: what they compute, and what training drops of it."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import build_box_head
from torch import nn

from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.modeling import VGGBoxHead

POOLED = ShapeSpec(channels=4, height=7, width=7)


def test_at_test_it_is_torchvisions_classifier_but_for_the_last_layer():
    # As torchvision.models.VGG has it, which flattens (N, C, 7, 7) before.
    classifier = nn.Sequential(
        nn.Linear(4 * 7 * 7, 10), nn.ReLU(), nn.Dropout(), nn.Linear(10, 8), nn.ReLU(), nn.Dropout()
    ).eval()
    head = VGGBoxHead(POOLED, fc_dims=(10, 8)).eval()
    head.fc1.load_state_dict(classifier[0].state_dict())
    head.fc2.load_state_dict(classifier[3].state_dict())
    pooled = torch.randn(5, 4, 7, 7)
    torch.testing.assert_close(head(pooled), classifier(torch.flatten(pooled, 1)))
    assert head.output_shape == ShapeSpec(channels=8)


@pytest.mark.parametrize("dropout", [0.0, 0.25, 0.5])
def test_training_drops_a_share_and_scales_the_rest(dropout):
    head = VGGBoxHead(POOLED, fc_dims=(6, 1000), dropout=dropout)
    nn.init.zeros_(head.fc2.weight)
    nn.init.ones_(head.fc2.bias)
    values = head(torch.randn(10, 4, 7, 7))
    assert (values == 0).float().mean() == pytest.approx(dropout, abs=0.02)
    torch.testing.assert_close(values.unique()[-1], torch.tensor(1 / (1 - dropout)))
    assert (head.eval()(torch.randn(10, 4, 7, 7)) == 1).all()


def test_both_layers_drop():
    head = VGGBoxHead(POOLED, fc_dims=(1000, 1))
    for layer in (head.fc1, head.fc2):
        nn.init.zeros_(layer.weight)
        nn.init.ones_(layer.bias)
    nn.init.constant_(head.fc2.weight, 1 / 1000)
    nn.init.zeros_(head.fc2.bias)
    with torch.no_grad():
        values = head(torch.zeros(200, 4, 7, 7))  # twice the mean of what is left of fc1, or 0
    assert (values == 0).any()
    rest = values[values > 0]
    assert rest.unique().numel() > 1 and rest.mean() == pytest.approx(2.0, abs=0.05)


def test_no_proposals_are_no_rows():
    head = VGGBoxHead(POOLED, fc_dims=(8,))
    output = head(torch.zeros(0, 4, 7, 7))
    assert output.shape == (0, 8)
    output.sum().backward()
    assert not head.fc1.weight.grad.any()


def test_the_registry_builds_it_from_a_config():
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    node = cfg.MODEL.ROI_BOX_HEAD
    node.NAME, node.NUM_FC, node.FC_DIM, node.DROPOUT = "VGGBoxHead", 2, 16, 0.25
    head = build_box_head(cfg, POOLED)
    assert isinstance(head, VGGBoxHead) and head.dropout == 0.25
    assert [tuple(layer.weight.shape) for layer in (head.fc1, head.fc2)] == [(16, 196), (16, 16)]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"fc_dims": ()}, "fc_dims"), ({"dropout": 1.0}, "dropout < 1, not 1.0")],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        VGGBoxHead(POOLED, **options)
