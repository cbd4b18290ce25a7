"""The detector that a fine-tuning on proposals starts from, as its config describes it."""

from __future__ import annotations

import copy

from omegaconf import DictConfig, OmegaConf

# What a fine-tuning decides about the ROI heads; all else is of the network that was trained.
_HEADS = ("batch_size_per_image", "positive_fraction", "proposal_matcher")
_PREDICTOR = ("box2box_transform", "smooth_l1_beta", "loss_weight", "test_score_thresh")
_READING = ("image_format", "augmentations", "depth_range", "max_pixels")


def regression_weights(detector: DictConfig) -> tuple[float, ...]:
    """The reciprocals of the standard deviations that a detector regresses boxes with.

    Args:
        detector: a LazyConfig of a Fast or Faster R-CNN.

    Returns:
        Four numbers, of dx, dy, dw and dh.

    Raises:
        ValueError: if the config is of another detector, or a yacs config.
    """
    if "model" not in detector:
        raise ValueError(
            "The config of the detector to fine-tune has no `model` at its top, as a LazyConfig "
            "has: leave a yacs config out if its network is the zoo's Faster R-CNN R50-FPN, or "
            "else describe the detector in a LazyConfig such as "
            "cascade_rpn/faster_rcnn_r50_fpn_1x.py."
        )
    heads = OmegaConf.select(detector, "model.roi_heads")
    weights = None
    # Cascade R-CNN has a list of predictors.
    if OmegaConf.is_dict(heads) and OmegaConf.is_dict(heads.get("box_predictor")):
        weights = OmegaConf.select(heads, "box_predictor.box2box_transform.weights")
    if weights is None or any(heads.get(f"{kind}_head") for kind in ("mask", "keypoint")):
        raise ValueError(
            "The detector to fine-tune is no Fast or Faster R-CNN with one box head and nothing "
            "besides: give a config such as cascade_rpn/faster_rcnn_r50_fpn_1x.py."
        )
    return tuple(float(weight) for weight in weights)


def take_over_detector(config: DictConfig, detector: DictConfig) -> None:
    """Change a fine-tuning in place to start from another detector than it is written for.

    The network, the normalisation of pixels, and the format, size and augmentations of images
    become those of the detector. How the ROI heads sample, match, code boxes, are trained and
    select detections stays as the fine-tuning has it, and so do its data and schedule.

    Args:
        config: a training config of Fast R-CNN.
        detector: a LazyConfig of a Fast or Faster R-CNN; it is not changed.

    Raises:
        ValueError: as :func:`regression_weights`.
    """
    regression_weights(detector)
    ours, config.model = config.model, copy.deepcopy(detector.model)
    config.model.proposal_generator = None
    theirs = config.model.roi_heads
    for source, target, keys in (
        (ours.roi_heads, theirs, _HEADS),
        (ours.roi_heads.box_predictor, theirs.box_predictor, _PREDICTOR),
    ):
        for key in keys:
            target[key] = source[key]
    for part in ("train", "test"):
        mapper = OmegaConf.select(detector, f"dataloader.{part}.mapper") or {}
        for key in _READING:
            if key in mapper:
                config.dataloader[part].mapper[key] = mapper[key]
