"""Every experiment takes a training step and an inference, its backbone and layers shrunken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data.proposal_file import ProposalFile, write_proposals
from cascade_rpn_d2.engine import setup_config, train
from cascade_rpn_d2.model_zoo import instantiate_model
from cascade_rpn_d2.modeling import CascadeRPN, DeformBottleneckBlock
from cascade_rpn_d2.reproduce import SCALES, Row, load_tables, projects_dir
from tests.engine.tiny_data import write_dataset

ALL = [
    name
    for name in model_zoo.list_configs()
    if name.endswith(("_1x.py", "_2x.py", "_vgg16.py", "_zf.py")) or "/finetune_" in name
]
# Shrunken, these are the experiment on a ResNet-50 that they are made of.
LARGE = [name for name in ALL if re.search("_(r101|r152|x101)_", name)]
# But these, whose blocks are of another kind.
DEFORMABLE = [name for name in ALL if "_dcn_" in name]
EXPERIMENTS = [name for name in ALL if name not in LARGE]
# Rows of tables that are of no config alone; of a sweep the ends, between which a number differs.
OVERRIDDEN = {
    row.experiment: row
    for file in sorted(projects_dir().glob("*/tables.py"))
    for table in load_tables(file).values()
    for row in table.rows
    if row.overrides and not re.search(r"score_gamma=0\.[1-9]$", row.overrides[0])
}
# Proposals by a CascadeRPN: one experiment of Cascade RPN's tables and most of Guided Anchoring's
# are of a stock RPN.
STAGED = [
    name
    for name in EXPERIMENTS
    if "rcnn" not in name
    and re.search("cascade_rpn/(?!rpn)|rpn_(focal|bounded|iterative)|refine_rpn", name)
]


def shrunken(name: str, overrides: Sequence[str] = ()) -> nn.Module:
    config = model_zoo.apply_overrides(model_zoo.get_config(name), overrides)
    SCALES["tiny"].adapt(config, True)  # leaves the number of classes as it is
    return finished(config)


def shrunken_deformable(name: str) -> nn.Module:
    """With the experiment's own kind of blocks, one a stage."""
    config = model_zoo.get_config(name)
    own = config.model.backbone.bottom_up.stages
    SCALES["tiny"].adapt(config, True)
    small = config.model.backbone.bottom_up.stages
    for stage, like in zip(own, small, strict=True):
        stage.bottleneck_channels = like.out_channels // 2
        stage.num_groups = 4
        for key in ("num_blocks", "in_channels", "out_channels", "stride_per_block"):
            stage[key] = like[key]
    config.model.backbone.bottom_up.stages = own
    return finished(config)


def finished(config: DictConfig) -> nn.Module:
    """The model of a shrunken experiment, of fewer classes and convolutions."""
    if config.model.get("roi_heads") is not None:
        config.model.roi_heads.num_classes = 3
        for stage in config.model.roi_heads.get("grid_stages") or ():
            stage.head.num_convs = 2
    return instantiate_model(config)


def batch(model: nn.Module) -> list[dict]:
    """An image with objects and an empty one, and proposals where the model makes none."""
    inputs = []
    for boxes in ([[4.0, 4, 54, 44], [70, 40, 86, 56]], []):
        truth = Instances((64, 96))
        truth.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
        truth.gt_classes = torch.arange(len(boxes))
        given = {
            "image": torch.randint(0, 255, (3, 64, 96)).float(),
            "instances": truth,
            "height": 128,
            "width": 192,
        }
        if isinstance(model, GeneralizedRCNN) and model.proposal_generator is None:
            proposals = Instances((64, 96))
            proposals.proposal_boxes = Boxes(torch.tensor([[8.0, 9, 61, 52], [0, 0, 20, 20]]))
            proposals.objectness_logits = torch.tensor([2.0, 1])
            given["proposals"] = proposals
        inputs.append(given)
    return inputs


def losses_of(model: nn.Module) -> dict[str, Tensor]:
    with EventStorage():
        return model(batch(model))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_step_and_an_inference(name: str):
    check_step_and_inference(shrunken(name))


@pytest.mark.parametrize("row", OVERRIDDEN.values(), ids=lambda row: row.experiment)
def test_a_step_and_an_inference_of_a_row_with_overrides(row: Row):
    check_step_and_inference(shrunken(row.config or "", row.overrides))


@pytest.mark.parametrize("name", DEFORMABLE)
def test_deformable_backbones_train_and_predict(name: str):
    model = shrunken_deformable(name)
    first, *others = [stage[0] for stage in model.backbone.bottom_up.stages]
    assert not isinstance(first, DeformBottleneckBlock)
    check_step_and_inference(model)
    for block in others:
        assert isinstance(block, DeformBottleneckBlock)
        assert block.conv2_offset.weight.grad.any()  # though its offsets are zero


def check_step_and_inference(model: nn.Module) -> None:
    losses = losses_of(model)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without, "distributed training would wait for these"
    with torch.no_grad():
        outputs = model.eval()(batch(model))
    assert len(outputs) == 2
    for output in outputs:
        (found,) = output.values()
        assert found.image_size == (128, 192)
        boxes = found.proposal_boxes if "proposals" in output else found.pred_boxes
        assert boxes.tensor.isfinite().all()


@pytest.mark.parametrize("name", LARGE)
def test_large_trunks_have_the_maps_of_a_resnet_50(name: str):
    config = model_zoo.get_config(name)
    with torch.device("meta"):  # shapes alone
        backbone = instantiate(config.model.backbone)
    trunk = backbone.bottom_up.output_shape()
    assert [shape.channels for shape in trunk.values()][-3:] == [512, 1024, 2048]
    assert {shape.channels for shape in backbone.output_shape().values()} == {256}
    assert config.train.init_checkpoint


@pytest.mark.parametrize("name", STAGED)
def test_gradient_of_the_last_stage(name: str):
    model = shrunken(name)
    generator = model.proposal_generator
    assert isinstance(generator, CascadeRPN)
    number = len(generator.stages)
    losses = losses_of(model)
    sum(v for k, v in losses.items() if k.startswith(f"loss_rpn_stage{number}_")).backward()
    for index, stage in enumerate(generator.stages[:-1]):
        parts = [stage.predictor.deltas, stage.predictor.objectness]
        for part in filter(None, parts):
            assert all(p.grad is None or not p.grad.any() for p in part.parameters())
        # Boxes carry no gradient; bridged features do.
        bridged = index == 0 and stage.bridge
        reached = [p.grad is not None and bool(p.grad.any()) for p in stage.align.parameters()]
        assert all(reached) if bridged else not any(reached)
    assert generator.stages[-1].predictor.deltas.weight.grad.any()
    assert getattr(model.backbone, "fpn", model.backbone).fpn_lateral2.weight.grad.any()


def test_the_rows_of_table_3_add_up_to_cascade_rpn():
    rows = model_zoo.get_config("cascade_rpn/ablations/stats_r50_fpn_1x.py")
    whole = model_zoo.get_config("cascade_rpn/cascade_rpn_r50_fpn_1x.py")
    for ours, last in zip(
        rows.model.proposal_generator.stages, whole.model.proposal_generator.stages, strict=True
    ):
        ours.box_loss, ours.loc_weight = last.box_loss, last.loc_weight
    for ours in rows.model.proposal_generator.stages:
        ours.setdefault("cls_weight", 1.0)
        ours.setdefault("bridge", False)
    for last in whole.model.proposal_generator.stages:
        last.setdefault("cls_weight", 1.0)
        last.setdefault("bridge", False)
    assert OmegaConf.to_container(rows.model) == OmegaConf.to_container(whole.model)


def test_names_follow_the_pattern():
    for name in model_zoo.list_configs():
        if name.startswith(("cascade_rpn/", "cpm_rcnn/", "grid_rcnn/", "guided_anchoring/")):
            backbones = "r50|r101|r152|x101_32x4d|x101_64x4d(_dcn(_ms(_tta)?)?)?"
            schedule = "" if "/finetune_" in name else "_[12]x"
            assert re.fullmatch(
                rf"[a-z_]+/(ablations/|authors/)?[a-z0-9_]+_({backbones})_fpn{schedule}\.py", name
            )
        if name.startswith("faster_rcnn/"):  # before there were FPNs and schedules by name
            assert re.fullmatch(r"faster_rcnn/(ablations/)?[a-z0-9_]+_(vgg16|zf)\.py", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL if "_1000_iou" in name])
def test_fast_rcnn_of_the_ablations_trains(name: str, tmp_path: Path):
    data = write_dataset(tmp_path / "data", images=2)
    given = ProposalFile.from_images(
        [0, 1],
        [np.array([[8, 9, 61, 52], [0, 0, 20, 20]], np.float32)] * 2,
        [np.zeros(2, np.float32)] * 2,
    )
    file = str(tmp_path / "proposals.npz")
    write_proposals(file, given)
    config = setup_config(
        name,
        ["train.max_iter=1", "dataloader.train.total_batch_size=2", "train.best_checkpoint=null"],
        train_data=data,
        test_data=data,
        train_proposals=file,
        test_proposals=file,
        output_dir=str(tmp_path / "run"),
        device="cpu",
        adapt=lambda config: SCALES["tiny"].adapt(config, True),
    )
    assert "bbox" in train(config)
    recorded = model_zoo.get_config(tmp_path / "run" / "config.yaml")
    assert recorded.dataloader.train.mapper.precomputed_proposal_topk == 1000
