"""Detectron2's models of proposals, whose generator is told how large images were before resizing.

Detectron2 resizes images in the mapper and tells its generators the size of the result alone. One
that measures proposals in pixels of the original image
(``DenseProposalGenerator.min_original_size``) needs both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN, ProposalNetwork
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import ImageList
from torch import Tensor


class ResizedImageList(ImageList):
    """An ``ImageList`` of images that have been resized.

    Args:
        tensor: (N, C, H, W), padded.
        image_sizes: height and width of each of the N images in it.
        original_sizes: height and width of each before it was resized.
    """

    def __init__(
        self,
        tensor: Tensor,
        image_sizes: Sequence[tuple[int, int]],
        original_sizes: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__(tensor, list(image_sizes))
        self.original_sizes = list(original_sizes)

    @classmethod
    def of(cls, images: ImageList, batched_inputs: Sequence[Mapping[str, Any]]) -> ResizedImageList:
        """The images of a batch.

        Args:
            images: as they are without their original sizes.
            batched_inputs: with ``height`` and ``width`` of the original image where they differ
                from those of ``image``, as Detectron2's mappers give them.
        """
        originals = [
            (image.get("height", height), image.get("width", width))
            for image, (height, width) in zip(batched_inputs, images.image_sizes, strict=True)
        ]
        return cls(images.tensor, images.image_sizes, originals)


@META_ARCH_REGISTRY.register()
class OriginalSizeRCNN(GeneralizedRCNN):
    """Detectron2's ``GeneralizedRCNN``, whose parts are given a :class:`ResizedImageList`.

    An input without ``height`` and ``width``, such as that of a trace, counts as one that was not
    resized: least sizes in pixels of the original image are then in pixels of the input.
    """

    def preprocess_image(self, batched_inputs: list[dict]) -> ResizedImageList:
        """Normalise, pad and batch the images."""
        return ResizedImageList.of(super().preprocess_image(batched_inputs), batched_inputs)


@META_ARCH_REGISTRY.register()
class OriginalSizeProposalNetwork(ProposalNetwork):
    """Detectron2's ``ProposalNetwork``, whose generator is given a :class:`ResizedImageList`."""

    def preprocess_image(self, batched_inputs: list[dict]) -> ResizedImageList:
        """Normalise, pad and batch the images."""
        pixels = [self._move_to_current_device(image["image"]) for image in batched_inputs]
        images = ImageList.from_tensors(
            [(x - self.pixel_mean) / self.pixel_std for x in pixels],
            self.backbone.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        )
        return ResizedImageList.of(images, batched_inputs)

    def forward(self, batched_inputs: list[dict]) -> Any:
        """See Detectron2's ``ProposalNetwork.forward``."""
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images.tensor)
        truth = None
        if "instances" in batched_inputs[0]:
            truth = [image["instances"].to(self.device) for image in batched_inputs]
        proposals, losses = self.proposal_generator(images, features, truth)
        if self.training:
            return losses
        return [
            {"proposals": detector_postprocess(found, *size)}
            for found, size in zip(proposals, images.original_sizes, strict=True)
        ]
