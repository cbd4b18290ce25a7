"""Cascade RPN against recorded outputs of mmdet 3.3.0 on seeded weights and images."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import Boxes, Instances


@pytest.fixture(scope="module")
def seeded(shared_dir: Path):
    spec = importlib.util.spec_from_file_location("seeded", shared_dir / "reference/seeded.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference(shared_dir: Path) -> dict:
    return torch.load(shared_dir / "reference/crpn.pt", weights_only=True)


@pytest.fixture(scope="module")
def model(repository: Path, reference: dict, seeded) -> torch.nn.Module:
    config = LazyConfig.load(str(repository / "configs/common/models/cascade_rpn_fpn.py"))
    # The recorded losses take every positive and every negative, so that nothing is random.
    config.model.proposal_generator.stages[1].sampler.batch_size_per_image = 10**6
    model = instantiate(config.model)
    weights = seeded.make_weights(reference["shapes"], reference["stem_gain"])
    weights = {ours(k): v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
    outcome = model.load_state_dict(weights, strict=False)
    assert not outcome.unexpected_keys
    assert all("pixel" in k or "cell_anchors" in k for k in outcome.missing_keys)
    return model


def ours(key: str) -> str:
    """Our name of a reference's parameter."""
    for pattern, replacement in (
        (r"^backbone\.conv1", "backbone.bottom_up.stem.conv1"),
        (r"^backbone\.bn1", "backbone.bottom_up.stem.conv1.norm"),
        (r"^backbone\.layer(\d)", lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}"),
        (r"\.bn(\d)\.", r".conv\1.norm."),
        (r"downsample\.0", "shortcut"),
        (r"downsample\.1", "shortcut.norm"),
        (r"^neck\.lateral_convs\.(\d)\.conv", lambda m: f"backbone.fpn_lateral{int(m[1]) + 2}"),
        (r"^neck\.fpn_convs\.(\d)\.conv", lambda m: f"backbone.fpn_output{int(m[1]) + 2}"),
        (r"^(rpn|bbox)_head\.stages", "proposal_generator.stages"),
        (r"rpn_conv\.conv", "align.conv"),
        (r"rpn_reg", "predictor.deltas"),
        (r"rpn_cls", "predictor.objectness"),
    ):
        key = re.sub(pattern, replacement, key)
    return key


def inputs(case: dict, seeded) -> list[dict]:
    batch = []
    for height, width, seed in case["sizes"]:
        truth = Instances((height, width))
        boxes, classes = seeded.make_gt(height, width, seed, 14)
        truth.gt_boxes, truth.gt_classes = Boxes(boxes), classes
        image = seeded.make_image(height, width, seed)
        batch.append({"image": image, "height": height, "width": width, "instances": truth})
    return batch


def test_proposals(model, reference, seeded):
    model.eval()
    for case in reference["cases"]:
        with torch.no_grad():
            outputs = model(inputs(case, seeded))
        for output, expected in zip(outputs, case["images"], strict=True):
            proposals = output["proposals"]
            scores = proposals.objectness_logits.sigmoid()
            torch.testing.assert_close(scores, expected["scores"], atol=1e-5, rtol=0)
            # Neighbours whose scores are equal to five digits may stand in either order.
            distance = torch.cdist(
                proposals.proposal_boxes.tensor, expected["boxes"], p=float("inf")
            )
            near = (scores[:, None] - expected["scores"][None]).abs() < 1e-5
            distance = distance.masked_fill(~near, float("inf"))
            assert distance.amin(0).max() < 1e-3 and distance.amin(1).max() < 1e-3
            assert (distance.diagonal() < 1e-3).float().mean() > 0.99


def test_losses(model, reference, seeded):
    model.train()
    for case in reference["cases"]:
        losses = model(inputs(case, seeded))
        for name, key in (
            ("s0.loss_rpn_reg", "loss_rpn_stage1_loc"),
            ("s1.loss_rpn_reg", "loss_rpn_stage2_loc"),
            ("s1.loss_rpn_cls", "loss_rpn_stage2_cls"),
        ):
            expected = torch.as_tensor(case["losses"][name]).sum()
            torch.testing.assert_close(losses[key].detach(), expected, rtol=1e-5, atol=0)
