"""From the coordinates of our configs to those of the released codes of CPM R-CNN and Grid R-CNN
Plus, for the weights that were trained with them.

What the two have in common, and where they differ, is said at
:mod:`cascade_rpn_d2.modeling.inclusive`.
"""

from __future__ import annotations

from collections.abc import Iterator

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.modeling.box_regression import Box2BoxTransform
from omegaconf import DictConfig

from ..data import OpenCVResizeShortestEdge
from ..modeling import (
    InclusiveAnchorGenerator,
    InclusiveBox2BoxTransform,
    InclusiveBoxCoder,
    InclusiveClassPredictor,
    InclusiveRCNN,
    InclusiveROIPooler,
    InclusiveRPN,
)
from .authors import PIXEL_MEAN
from .lazy import is_of


def use_cpm_authors_geometry(model: DictConfig, dataloader: DictConfig) -> None:
    """Change an experiment in place to the coordinates of CPM R-CNN's released code.

    * Anchors, a box's deltas and the area that chooses its level count its last pixel.
    * Proposals end at the last row and column of an image, and detections are given by their edges
      again, in pixels of the original image.
    * RoIAlign has no shift of half a pixel, and two samples a bin and direction.
    * At test images are resized by OpenCV in floating point, and padded with black.
    * The pixel mean is the authors', with BGR and no deviation, for all trunks.
    * Heat maps are read by their probabilities, and of all boxes that classification leaves.

    Detections of converted weights are then those of the released code up to rounding, but that
    Detectron2 clips them to the image. Cascade R-CNN is not as close: its boxes are clipped after
    every stage, and to the edge of the image instead of its last pixel. Test-time augmentation
    resizes in Detectron2's way. Training is close too, not equal: the IoU with objects takes the
    last pixel for the edge.

    Args:
        model: a detector with the baseline RPN.
        dataloader: of the experiment, its mapper for tests following that for training.
    """
    _count_last_pixels(model, rounding="sides", to_edges=False)
    model.proposal_generator.refinement.box_coder.coder.bounds_shrinking = False
    model.pads_black = True
    for owner in _box_coders(model):
        owner.box2box_transform = L(InclusiveBox2BoxTransform)(
            transform=L(Box2BoxTransform)(weights=owner.box2box_transform.weights)
        )
    for stage in model.roi_heads.get("grid_stages") or ():
        stage.by_probability = True
        model.roi_heads.box_predictor.test_topk_per_image = -1
    model.pixel_mean = list(PIXEL_MEAN)
    model.pixel_std = [1.0, 1.0, 1.0]
    dataloader.train.mapper.image_format = "BGR"
    _resize_with_opencv(dataloader, in_float=True)


def use_grid_authors_geometry(model: DictConfig, dataloader: DictConfig) -> None:
    """Change an experiment in place to the coordinates of Grid R-CNN Plus's released code.

    They are those of mmdet before 2.0 too, and those of :func:`use_cpm_authors_geometry` but that

    * anchors are rounded at their corners;
    * boxes are pooled up to their edges, and suppress each other by the IoU of these;
    * images are resized in whole numbers, and padded with the mean;
    * pixels are normalised, and heat maps read, as in our configs.

    Detections of converted weights are then those of the released code up to rounding, but that
    Detectron2 clips them, and scales them back by the ratio of the sizes; the released code does so
    by the factor that the size was rounded from.

    Args:
        model: a detector with the baseline RPN and a ``ClassPredictor``.
        dataloader: of the experiment.
    """
    _count_last_pixels(model, rounding="corners", to_edges=True)
    model.proposal_generator.nms_of_edges = True
    model.roi_heads.box_predictor._target_ = InclusiveClassPredictor
    for owner in _box_coders(model):
        owner.box2box_transform = L(InclusiveBox2BoxTransform)(transform=owner.box2box_transform)
    _resize_with_opencv(dataloader, in_float=False)


def _count_last_pixels(model: DictConfig, *, rounding: str, to_edges: bool) -> None:
    """What both codes have in common."""
    model._target_ = InclusiveRCNN
    generator = model.proposal_generator
    generator._target_ = InclusiveRPN
    generator.refinement.box_coder = L(InclusiveBoxCoder)(coder=generator.refinement.box_coder)
    # Smaller than that of a proposal of one pixel, which both keep.
    generator.min_box_size = -1.0
    anchors = generator.anchor_generator
    anchors._target_ = InclusiveAnchorGenerator
    anchors.pop("offset")
    anchors.rounding = rounding
    for name in ("box_pooler", "grid_pooler"):
        pooler = model.roi_heads.get(name)
        if pooler is not None:
            pooler._target_ = InclusiveROIPooler
            pooler.pooler_type = "ROIAlign"
            pooler.sampling_ratio = 2
            pooler.to_edges = to_edges


def _box_coders(model: DictConfig) -> Iterator[DictConfig]:
    """The predictors that have a ``box2box_transform``."""
    heads = model.roi_heads
    for predictor in heads.get("box_predictors") or [heads.box_predictor]:
        if predictor.get("box2box_transform") is not None:
            yield predictor


def _resize_with_opencv(dataloader: DictConfig, *, in_float: bool) -> None:
    for step in dataloader.test.mapper.augmentations:
        if is_of(step, T.ResizeShortestEdge.__name__):
            step._target_ = OpenCVResizeShortestEdge
            step.in_float = in_float
