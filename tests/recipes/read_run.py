"""Facts of an experiment outside its heads: schedule, optimizer, images, backbone."""

from __future__ import annotations

from typing import Any

from .resolved import Resolved

Facts = dict[str, Any]


def read_schedule(config: Resolved) -> Facts:
    """Steps are where they fall in this run, which may be shorter than what they are given for."""
    stretch = config("train.max_iter") / config("lr_multiplier.length")
    assert config("lr_multiplier.max_iter") == config("train.max_iter")
    return {
        "schedule.batch": config("dataloader.train.total_batch_size") * config("train.accumulate"),
        "schedule.iterations": config("train.max_iter"),
        "schedule.steps": tuple(round(x * stretch) for x in config("lr_multiplier.milestones")),
        "schedule.step_factor": config("lr_multiplier.gamma"),
        "schedule.warmup_iterations": config("lr_multiplier.warmup_iters"),
        "schedule.warmup_factor": config("lr_multiplier.warmup_factor"),
        "schedule.half_precision": config("train.amp.enabled"),
        "schedule.weight_averaging": config("train.ema.enabled"),
    }


def read_optimizer(config: Resolved) -> Facts:
    lr, decay = config("optimizer.lr"), config("optimizer.weight_decay")
    base_lr = config("optimizer.params.base_lr")
    assert base_lr in (None, lr)
    assert config("optimizer.params.weight_decay") is None

    def decay_of(kind: str) -> float:
        own = config(f"optimizer.params.weight_decay_{kind}")
        return decay if own is None else own

    return {
        "optimizer.kind": config.kind("optimizer"),
        "optimizer.lr": lr,
        "optimizer.bias_lr_factor": config("optimizer.params.bias_lr_factor"),
        "optimizer.momentum": config("optimizer.momentum"),
        "optimizer.nesterov": config("optimizer.nesterov"),
        "optimizer.dampening": config("optimizer.dampening"),
        "optimizer.weight_decay": decay,
        "optimizer.weight_decay_of_biases": decay_of("bias"),
        "optimizer.weight_decay_of_norms": decay_of("norm"),
        "optimizer.max_gradient_norm": config("train.clip_grad_norm"),
    }


def read_images(config: Resolved) -> Facts:
    sizes: Facts = {}
    for part in ("train", "test"):
        mapper = f"dataloader.{part}.mapper"
        kinds = [
            config.kind(f"{mapper}.augmentations.{i}")
            for i in range(config.count(f"{mapper}.augmentations"))
        ]
        assert kinds == ["ResizeShortestEdge", "RandomFlip"][: 2 if part == "train" else 1]
        resize = f"{mapper}.augmentations.0"
        sizes[f"images.{part}_short_side"] = side = config(f"{resize}.short_edge_length")
        if isinstance(side, tuple):
            sizes[f"images.{part}_short_side_drawn"] = config(f"{resize}.sample_style")
        sizes[f"images.{part}_long_side"] = config(f"{resize}.max_size")
    train = "dataloader.train.mapper"
    flip = f"{train}.augmentations.1"
    assert config("dataloader.test.mapper.image_format") == config(f"{train}.image_format")
    assert config(f"{flip}.horizontal") and not config(f"{flip}.vertical")
    facts = {
        **sizes,
        "images.train_set": config("dataloader.train.dataset.names"),
        "images.train_without_objects": not config("dataloader.train.dataset.filter_empty"),
        "images.grouped_by_shape": config("dataloader.train.aspect_ratio_grouping"),
        "images.flip": config(f"{flip}.prob"),
        "images.channels": config(f"{train}.image_format"),
        "images.mean": config("model.pixel_mean"),
        "images.std": config("model.pixel_std"),
    }
    if config.has(f"{train}.precomputed_proposal_topk"):
        facts["proposals.train_count"] = config(f"{train}.precomputed_proposal_topk")
        facts["proposals.test_count"] = config("dataloader.test.mapper.precomputed_proposal_topk")
    return facts


def read_backbone(config: Resolved) -> Facts:
    kind = config.kind("model.backbone")
    if kind == "VGG16":
        return {
            "backbone.widths": config("model.backbone.widths"),
            "backbone.frozen_blocks": config("model.backbone.freeze_at"),
            "backbone.maps": config("model.backbone.out_features"),
            "backbone.weights": _weights(config("train.init_checkpoint")),
        }
    assert kind == "FPN"
    body, coarser = "model.backbone.bottom_up", "model.backbone.top_block"
    assert config(f"{body}.out_features") == config("model.backbone.in_features")
    facts: Facts = {}
    if config.kind(coarser) != "LastLevelMaxPool":
        facts["fpn.coarser_from"] = config(f"{coarser}.in_feature")
    if config.is_node(f"{body}.stages"):
        facts |= {
            "backbone.depth": config(f"{body}.stages.depth"),
            **_blocks(config, f"{body}.stages"),
        }
    else:
        facts |= _stages(config, f"{body}.stages")
    return {
        **facts,
        "backbone.stem_norm": _norm(config(f"{body}.stem.norm")),
        # Detectron2 counts the stem as the first.
        "backbone.frozen_stages": config(f"{body}.freeze_at") - 1,
        "backbone.weights": _weights(config("train.init_checkpoint")),
        "fpn.inputs": config("model.backbone.in_features"),
        "fpn.channels": config("model.backbone.out_channels"),
        "fpn.norm": config("model.backbone.norm"),
        "fpn.coarser": config.kind(coarser),
    }


def _blocks(config: Resolved, path: str) -> Facts:
    """What the blocks of a ResNet, or of one of its stages, have in common."""
    return {
        "backbone.stride_in": "1x1" if config(f"{path}.stride_in_1x1") else "3x3",
        "backbone.norm": _norm(config(f"{path}.norm")),
    }


def _stages(config: Resolved, path: str) -> Facts:
    """Of a ResNeXt, whose stages are written one by one."""
    facts: Facts = {}
    by_stage: dict[str, list] = {}
    for stage in (f"{path}.{i}" for i in range(config.count(path))):
        assert all(facts.setdefault(k, v) == v for k, v in _blocks(config, stage).items())
        blocks, groups = config(f"{stage}.num_blocks"), config(f"{stage}.num_groups")
        strides = config(f"{stage}.stride_per_block")
        assert strides[1:] == (1,) * (blocks - 1)
        block = config(f"{stage}.block_class").__name__
        if block == "DeformBottleneckBlock":
            assert not config(f"{stage}.deform_modulated")
            assert config(f"{stage}.deform_num_groups") == 1
        for name, value in (
            ("blocks", blocks),
            ("groups", groups),
            ("widths", config(f"{stage}.out_channels")),
            ("group_widths", config(f"{stage}.bottleneck_channels") / groups),
            ("strides", strides[0]),
            ("kinds", block),
        ):
            by_stage.setdefault(f"backbone.{name}", []).append(value)
    return facts | {name: tuple(values) for name, values in by_stage.items()}


def _norm(norm: Any) -> str:
    return {
        "FrozenBN": "frozen",
        "FixedStatisticsBatchNorm2d": "fixed statistics",
    }[norm if isinstance(norm, str) else norm.__name__]


def _weights(checkpoint: str) -> str:
    """Whose ImageNet weights a run starts from."""
    if checkpoint.startswith("detectron2://ImageNetPretrained/MSRA/"):
        return "MSRA"
    if checkpoint.startswith("https://download.openmmlab.com/pretrain/third_party/"):
        return "mmdet"
    assert checkpoint.startswith("https://download.pytorch.org/models/"), checkpoint
    return "torchvision"
