"""From photographs to boxes in their pixels, several at once.

Detectron2's ``DefaultPredictor`` for lazily configured models, and in batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.data import transforms as T
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..checkpoint import Checkpointer
from ..config.max_detections import USUAL, max_detections, set_max_detections
from ..data import ImageReader
from ..model_zoo import (
    InputFormat,
    apply_overrides,
    choose_device,
    find_weights,
    get_config,
    instantiate_model,
    require_images_suffice,
)
from .categories import Categories

__all__ = ["BatchPredictor", "Categories", "load_predictor"]


class BatchPredictor:
    """Runs a model on images of any sizes.

    Images that have different sizes after scaling do not share a forward pass, because the padding
    that this takes changes what a model sees: the company of an image never changes its boxes.

    Args:
        model: takes Detectron2's list of dicts; it is put into evaluation mode.
        image_format: channel order that the model expects, ``"RGB"`` or ``"BGR"``.
        resize: scales an image before the model sees it; None for the image as it is.
        reader: how those read image files who have files.

    Raises:
        ValueError: if the image format is another one.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        image_format: str = "BGR",
        resize: T.Augmentation | None = None,
        reader: ImageReader | None = None,
    ) -> None:
        if image_format not in ("RGB", "BGR"):
            raise ValueError(f"image_format must be 'RGB' or 'BGR', not {image_format!r}.")
        self.model = model.eval()
        self.image_format = image_format
        self.resize = resize
        self.reader = reader or ImageReader()

    @classmethod
    def from_config(cls, model: nn.Module, config: DictConfig) -> BatchPredictor:
        """A predictor that feeds images as the test loader of a LazyConfig does.

        Raises:
            ValueError: if the test mapper does more than one resize.
        """
        inputs = InputFormat.from_config(config)
        return cls(
            model,
            image_format=inputs.image_format,
            resize=inputs.resize(),
            reader=inputs.reader,
        )

    @torch.no_grad()
    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[dict[str, Any]]:
        """Predict.

        Args:
            images: (H, W, 3) uint8 in BGR order, as OpenCV reads them, each of its own size.

        Returns:
            The model's output for each image, ``{"proposals": Instances}`` or ``{"instances":
            Instances}``, in pixels of that image.

        Raises:
            ValueError: if an image is no such array.
        """
        inputs = [self.preprocess(image) for image in images]
        by_size: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, given in enumerate(inputs):
            by_size[given["image"].shape].append(index)
        outputs: list[dict[str, Any]] = [{} for _ in inputs]
        for indices in by_size.values():
            for index, output in zip(
                indices, self.model([inputs[i] for i in indices]), strict=True
            ):
                outputs[index] = output
        return outputs

    def preprocess(self, image: npt.NDArray[np.uint8]) -> dict[str, Any]:
        """What the model is given for an image (H, W, 3), uint8 in BGR order."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(
                "An image must be an (H, W, 3) uint8 array in BGR order, not "
                f"{image.shape} {image.dtype}."
            )
        height, width = image.shape[:2]
        array = image if self.image_format == "BGR" else image[:, :, ::-1]
        if self.resize is not None:
            array = self.resize.get_transform(array).apply_image(array)
        tensor = torch.from_numpy(np.array(array.transpose(2, 0, 1), dtype=np.float32))
        return {"image": tensor, "height": height, "width": width}


def load_predictor(
    config_file: str,
    weights: str | None = None,
    *,
    overrides: Sequence[str] = (),
    device: str | None = None,
    trained: bool = True,
    at_least: int | None = None,
) -> tuple[BatchPredictor, Categories]:
    """The predictor of a config, and the classes that it predicts.

    Args:
        config_file: name in the zoo, or path of a LazyConfig.
        weights: file or URL; by default the zoo's for that config.
        overrides: ``key=value`` changes to the config.
        device: where to run; a GPU if there is one by default.
        trained: False to leave the model with the weights that it is built with.
        at_least: how many detections of an image a detector must keep where its config says fewer;
            not below the usual 100.

    Raises:
        ValueError: if config, overrides, device or weights do not exist or do not fit together, or
            if the model needs precomputed proposals.
        OSError: if the weights cannot be read.
    """
    config = apply_overrides(get_config(config_file), overrides)
    if not OmegaConf.is_dict(config.get("model")):
        instantiate_model(config, config_file)  # which says what is wrong with it
    require_images_suffice(config, config_file)
    limit = max_detections(config)
    if at_least is not None and limit is not None and at_least > max(limit, USUAL):
        set_max_detections(config, at_least)
    where = choose_device(device)
    file = find_weights(config_file, weights) if trained else None
    model = instantiate_model(config, config_file)
    categories = Categories.from_config(config)
    if file is not None:
        content = Checkpointer(model).load(file, checkpointables=[])
        # The weights know better than the config that they are used with.
        stated = Categories.from_checkpoint(content)
        categories = stated if stated.names else categories
    return BatchPredictor.from_config(model.to(where), config), categories
