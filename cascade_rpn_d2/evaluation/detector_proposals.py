"""A detector seen as a proposal network: the boxes that its ROI heads are given."""

from __future__ import annotations

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.postprocessing import detector_postprocess
from torch import nn


class ProposalsOfDetector(nn.Module):
    """The proposals inside a detector, in the form of detectron2's ``ProposalNetwork``.

    For ``inference_on_dataset(ProposalsOfDetector(model), loader, ProposalRecallEvaluator(name))``.

    Args:
        model: a ``GeneralizedRCNN`` with a proposal generator. It is shared, not copied, and only
            run.

    Raises:
        ValueError: when the model has no proposal generator.
    """

    def __init__(self, model: GeneralizedRCNN) -> None:
        super().__init__()
        if getattr(model, "proposal_generator", None) is None:
            raise ValueError(
                f"{type(model).__name__} makes no proposals of its own: give a detector with a "
                "proposal generator."
            )
        self.model = model

    @torch.no_grad()
    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        """Propose boxes.

        Args:
            batched_inputs: as the detector takes them: ``image`` (C, H, W), and ``height`` and
                ``width`` of the original image if they differ.

        Returns:
            Per image ``{"proposals": Instances}`` with ``proposal_boxes``, XYXY pixels of the
            original image, and ``objectness_logits``.

        Raises:
            RuntimeError: in training mode.
        """
        if self.model.training:
            raise RuntimeError("ProposalsOfDetector only runs in evaluation: call .eval() first.")
        images = self.model.preprocess_image(batched_inputs)
        features = self.model.backbone(images.tensor)
        proposals, _ = self.model.proposal_generator(images, features, None)
        outputs = []
        for found, image, size in zip(proposals, batched_inputs, images.image_sizes, strict=True):
            height, width = image.get("height", size[0]), image.get("width", size[1])
            outputs.append({"proposals": detector_postprocess(found, height, width)})
        return outputs
