"""A detector that works on boxes that name their first and last pixel, between others that do not.

Shape shorthand: ``R`` boxes of an image.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor


class InclusiveRCNN(GeneralizedRCNN):
    """Detectron2's ``GeneralizedRCNN``, whose parts are those of this package.

    Objects it learns from and boxes it returns are Detectron2's: given by their edges. In between
    they lack a pixel of the original image at the right and at the bottom, as in the old codes.

    Args:
        pads_black: whether, at test, an image is padded with black before pixels are normalised, as
            CPM R-CNN does; otherwise, and in training always, it is padded with the mean.
        kwargs: those of ``GeneralizedRCNN``.
    """

    def __init__(self, *, pads_black: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.pads_black = pads_black

    def forward(self, batched_inputs: list[dict]) -> Any:
        """See Detectron2's ``GeneralizedRCNN.forward``."""
        if self.training:
            batched_inputs = [
                image | {"instances": _shifted(image["instances"], "gt_boxes", image, -1)}
                for image in batched_inputs
            ]
        return super().forward(batched_inputs)

    def inference(
        self,
        batched_inputs: list[dict],
        detected_instances: list[Instances] | None = None,
        do_postprocess: bool = True,
    ) -> Any:
        """See Detectron2's ``GeneralizedRCNN.inference``."""
        if detected_instances is not None:
            detected_instances = [
                _shifted(known, "pred_boxes", image, -1)
                for known, image in zip(detected_instances, batched_inputs, strict=True)
            ]
        found = super().inference(batched_inputs, detected_instances, do_postprocess=False)
        results = [
            _shifted(detections, "pred_boxes", image, 1)
            for detections, image in zip(found, batched_inputs, strict=True)
        ]
        if not do_postprocess:
            return results
        sizes = [tuple(image["image"].shape[-2:]) for image in batched_inputs]
        return GeneralizedRCNN._postprocess(results, batched_inputs, sizes)

    def preprocess_image(self, batched_inputs: list[dict]) -> ImageList:
        """Normalise, pad and batch the images."""
        if self.training or not self.pads_black:
            return super().preprocess_image(batched_inputs)
        images = ImageList.from_tensors(
            [self._move_to_current_device(image["image"]) for image in batched_inputs],
            self.backbone.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        )
        pixels = (images.tensor - self.pixel_mean) / self.pixel_std
        return ImageList(pixels, images.image_sizes)


def _shifted(instances: Instances, name: str, image: dict, pixels: float) -> Instances:
    """A copy with the right and lower ends of boxes moved, in pixels of the original image.

    Args:
        instances: of the image as the detector sees it.
        name: of the field with R boxes.
        image: its entry in a batch: ``image``, and ``height`` and ``width`` of the original one if
            they differ.
        pixels: how far.
    """
    height, width = image["image"].shape[-2:]
    scale = (width / image.get("width", width), height / image.get("height", height))
    corner, end = instances.get(name).tensor.split(2, dim=1)
    end = torch.stack([x + pixels * s for x, s in zip(end.unbind(1), scale, strict=True)], dim=1)
    fields: dict[str, Any] = instances.get_fields()
    boxes: Tensor = torch.cat((corner, end), dim=1)
    return Instances(instances.image_size, **fields | {name: Boxes(boxes)})
