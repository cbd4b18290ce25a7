"""mmdet's Cascade RPN head on the same maps, where mmdet 3 can be imported."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .case import Case
from .heads import HeadInputs, deltas_stds, outputs_of, scale_outputs
from .timing import Part

CONFIG = "mmdet::cascade_rpn/cascade-rpn_r50-caffe_fpn_1x_coco.py"
# target_stds of the first stage in that config.
STAGE1_STDS = (0.1, 0.1, 0.5, 0.5)


class NotAvailable(Exception):
    """mmdet cannot be used here; the message says why."""


def mmdet_head(inputs: HeadInputs, case: Case) -> Part:
    """The inference of mmdet's head, from the maps to the final proposals.

    Its weights are random, the first stage's predictor scaled as ours is.

    Args:
        inputs: maps of 256 channels, strides 4 to 64.
        case: on what.

    Raises:
        NotAvailable: if mmdet cannot be imported, or takes other maps than these.
    """
    try:
        from mmdet.registry import MODELS
        from mmdet.structures import DetDataSample
        from mmdet.utils import register_all_modules
        from mmengine.hub import get_config
    # AssertionError: what mmdet raises for a version of mmcv that it does not know.
    except (ImportError, AssertionError) as error:
        raise NotAvailable(f"mmdet is not importable ({error})") from error
    register_all_modules()
    try:
        config = get_config(CONFIG).model
    except (OSError, KeyError) as error:
        raise NotAvailable(f"mmdet has no config {CONFIG} ({error})") from error
    # The config was written for an older mmdet: it lacks one argument and has one too many.
    config.rpn_head.num_classes = 1
    for stage in config.rpn_head.stages:
        stage.pop("sampling", None)
    channels = next(iter(inputs.features.values())).shape[1]
    if channels != config.rpn_head.stages[0].in_channels:
        raise NotAvailable(f"mmdet's config is not for maps of {channels} channels")
    head: Any = MODELS.build(config).rpn_head
    head.to(case.torch_device).to(memory_format=case.memory_format).eval()
    shape = {"img_shape": case.image_size, "pad_shape": case.image_size}
    samples = [DetDataSample(metainfo=shape) for _ in range(case.batch)]
    maps: tuple[Tensor, ...] = tuple(inputs.features.values())

    def run() -> object:
        with torch.no_grad(), case.autocast():
            return head.predict(maps, samples, rescale=False)

    layer = head.stages[0].rpn_reg
    deltas = [x.transpose(0, 1).flatten(1) for x in outputs_of(layer, run)]  # (4, N*Hi*Wi) a map
    scale_outputs(layer, torch.cat(deltas, dim=1), deltas_stds(STAGE1_STDS))
    return run
