"""Test-time augmentation: a detector sees an image in several sizes and mirrored, and what it finds
in these views is merged.

Shape shorthand: ``V`` views of an image, ``R`` detections of all views, ``D`` that remain.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.data.transforms import TransformList
from detectron2.modeling import GeneralizedRCNN, GeneralizedRCNNWithTTA
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from .merging import Merge

View = dict[str, Any]


class AugmentedViews:
    """The views of an image: every size, each followed by its mirror image if asked for.

    As Detectron2's ``DatasetMapperTTA``, but every size has a limit of its own, and precomputed
    proposals come along.

    Args:
        sizes: of every view, the pixels that the shorter side is scaled to, and those that the
            longer one may have then. A shorter side of 0 leaves the image as it is.
        flip: whether every view is mirrored too.
        resize: what scales, made of the two sizes.

    Raises:
        ValueError: if there is no size, or a size is no pair of such numbers.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        flip: bool = True,
        resize: Callable[[int, int], T.Augmentation] = T.ResizeShortestEdge,
    ) -> None:
        self.sizes = [tuple(size) for size in sizes]
        self.flip = flip
        if not self.sizes:
            raise ValueError("Test-time augmentation needs at least one size of views.")
        for size in self.sizes:
            whole = all(isinstance(n, int) and not isinstance(n, bool) for n in size)
            if len(size) != 2 or not whole or size[0] < 0 or size[1] < 1:
                raise ValueError(
                    "The size of a view is the shorter side and the limit of the longer one in "
                    f"whole pixels, such as (800, 1333), not {size}."
                )
        self._steps: list[list[T.Augmentation]] = []
        for size in self.sizes:
            self._steps.append([resize(*size)])
            if flip:
                self._steps.append([resize(*size), T.RandomFlip(prob=1.0)])

    def __len__(self) -> int:
        """V."""
        return len(self.sizes) * (2 if self.flip else 1)

    def __call__(self, record: View) -> list[View]:
        """The views of an image.

        Args:
            record: what a model is given: ``image`` (3, H, W), best uint8 in its own size, for an
                image that was scaled before is scaled twice; ``height`` and ``width`` of the image
                file; and for a detector on precomputed proposals ``proposals``, in pixels of
                ``image``.

        Returns:
            V copies of it with ``image`` and ``proposals`` as the view has them, and
            ``transforms``, which lead from the image file to the view.
        """
        pixels = record["image"].permute(1, 2, 0).numpy()
        size, own_size = pixels.shape[:2], (record["height"], record["width"])
        first = T.NoOpTransform() if size == own_size else T.ResizeTransform(*own_size, *size)
        views = []
        for steps in self._steps:
            image, transforms = T.apply_augmentations(steps, pixels.copy())
            view = copy.deepcopy({key: value for key, value in record.items() if key != "image"})
            view["image"] = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
            view["transforms"] = first + transforms
            views.append(view)
        if "proposals" in record:
            boxes = record["proposals"].proposal_boxes.clone()
            height, width = record["proposals"].image_size
            boxes.scale(record["width"] / width, record["height"] / height)
            for view in views:
                view["proposals"] = _proposals_in(view, boxes)
        return views


class DetectorWithTTA(GeneralizedRCNNWithTTA):
    """A ``GeneralizedRCNN`` that sees every image in several views and merges what it detects.

    Each view runs the complete detector. Masks are predicted in the end, for the merged boxes in
    every view, and averaged.

    Why not Detectron2's class as it is: it needs a yacs config; it merges by plain NMS at the
    threshold of the detector's own; it pads views of several sizes to batches, so that detections
    depend on the batch size; and it takes no precomputed proposals.

    Args:
        model: the detector, with any ROI heads, not wrapped for several processes.
        views: makes the views of an image, such as :class:`AugmentedViews`.
        merge: joins the detections of all views of an image.
        batch_size: how many views of the same size share a forward pass at most.

    Raises:
        ValueError: if the model is no such detector, or has a keypoint head, or if the batch size
            is not positive.
    """

    def __init__(
        self,
        model: nn.Module,
        views: Callable[[View], list[View]],
        merge: Merge,
        batch_size: int = 2,
    ) -> None:
        _check_model(model)
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}.")
        cfg = get_cfg()
        cfg.MODEL.MASK_ON = bool(getattr(model.roi_heads, "mask_on", False))
        super().__init__(cfg, model, views, batch_size)
        self.merge = merge
        self.train(model.training)

    @torch.no_grad()
    def __call__(self, batched_inputs: Sequence[View]) -> list[dict[str, Instances]]:
        """Detect.

        Args:
            batched_inputs: N images as the model takes them, each ``image`` in its own size.

        Returns:
            ``{"instances": Instances}`` of each, in pixels of ``height`` and ``width``, as the
            model itself returns them.
        """
        sized = []
        for record in batched_inputs:
            height, width = record["image"].shape[-2:]
            sized.append({"height": height, "width": width, **record})
        return [self._inference_one_image(record) for record in sized]

    def _batch_inference(
        self, batched_inputs: list[View], detected_instances: list[Instances] | None = None
    ) -> list[Instances]:
        """What the model makes of the views. Only those of one size share a forward pass, as the
        padding of others would change what the model sees."""
        by_size: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, view in enumerate(batched_inputs):
            by_size[tuple(view["image"].shape)].append(index)
        outputs: dict[int, Instances] = {}
        for indices in by_size.values():
            given = detected_instances and [detected_instances[i] for i in indices]
            found = super()._batch_inference([batched_inputs[i] for i in indices], given)
            outputs.update(zip(indices, found, strict=True))
        return [outputs[index] for index in range(len(batched_inputs))]

    def _get_augmented_boxes(
        self, augmented_inputs: list[View], tfms: list[TransformList]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (R, 4) in pixels of the image file, scores (R,) and classes (R,) of all views;
        Detectron2's takes lists of single scores and classes, which takes a loop over them."""
        outputs = self._batch_inference(augmented_inputs)
        boxes = [
            _apply_to_boxes(transforms.inverse(), output.pred_boxes.tensor)
            for output, transforms in zip(outputs, tfms, strict=True)
        ]
        return (
            torch.cat(boxes),
            torch.cat([output.scores.float() for output in outputs]),
            torch.cat([output.pred_classes for output in outputs]),
        )

    def _merge_detections(
        self, all_boxes: Tensor, all_scores: Tensor, all_classes: Tensor, shape_hw: tuple[int, int]
    ) -> Instances:
        """The D detections of an image of height and width ``shape_hw``."""
        boxes = Boxes(all_boxes)
        boxes.clip(shape_hw)
        union = Instances(shape_hw, pred_boxes=boxes, scores=all_scores, pred_classes=all_classes)
        # Boxes without area overlap nothing, so that they would stay and take places of others.
        return self.merge(union[boxes.nonempty()])


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, GeneralizedRCNN):
        raise ValueError(
            "Test-time augmentation merges the detections of a GeneralizedRCNN, not what a "
            f"{type(model).__name__} predicts: evaluate this model without it."
        )
    if getattr(model.roi_heads, "keypoint_on", False):
        raise ValueError(
            "Test-time augmentation does not know which keypoints change sides in a mirror, so it "
            "predicts none: evaluate this model without it, or without its keypoint head."
        )


def _apply_to_boxes(transforms: TransformList, boxes: Tensor) -> Tensor:
    """Boxes (R, 4) after transformations, which Detectron2 does with arrays on the host."""
    moved = transforms.apply_box(boxes.float().cpu().numpy())
    return torch.from_numpy(moved).to(boxes.device)


def _proposals_in(view: View, boxes: Boxes) -> Instances:
    """The proposals of a view; ``boxes`` are in pixels of the image file."""
    size = tuple(view["image"].shape[-2:])
    moved = Boxes(_apply_to_boxes(view["transforms"], boxes.tensor))
    moved.clip(size)
    logits = view["proposals"].objectness_logits
    return Instances(size, proposal_boxes=moved, objectness_logits=logits)
