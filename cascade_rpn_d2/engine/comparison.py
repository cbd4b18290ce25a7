"""Several generators of proposals side by side: trained alike, measured alike, drawn on the same
images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import instantiate
from detectron2.data import detection_utils
from detectron2.modeling.meta_arch import ProposalNetwork
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import BoxMode, ImageList
from omegaconf import DictConfig
from tabulate import tabulate
from torch import Tensor

from ..checkpoint import Checkpointer
from ..modeling import CascadeRPN
from ..visualization import draw_stages
from .evaluation import Results
from .train_loop import train

logger = logging.getLogger(__name__)


def train_and_compare(configs: Mapping[str, DictConfig], picture: Path, num_images: int = 4) -> str:
    """Train every config, measure its average recall, and draw the proposals of all.

    Args:
        configs: name of a row -> config of a model of proposals only. They share the test data.
        picture: file of the picture to write.
        num_images: how many test images the picture shows.

    Returns:
        The table of results, a row per config.
    """
    results = {}
    for name, config in configs.items():
        logger.info("Training %s for %d iterations", name, config.train.max_iter)
        results[name] = train(config)
    models = {name: load_trained(config) for name, config in configs.items()}
    dataset = instantiate(next(iter(configs.values())).dataloader.test.dataset)
    draw_comparison(models, choose_images(dataset, num_images), picture)
    return comparison_table(results)


def comparison_table(results: Mapping[str, Results]) -> str:
    """Average recall in per cent, a row per name, in the order of the papers' tables."""
    rows = {name: result["box_proposals"] for name, result in results.items()}
    metrics = list(next(iter(rows.values())))
    values = [[name, *(row[metric] for metric in metrics)] for name, row in rows.items()]
    return tabulate(values, ["", *metrics], tablefmt="github", floatfmt=".1f")


def load_trained(config: DictConfig) -> ProposalNetwork:
    """The model of a finished run, ready for inference."""
    model = instantiate(config.model).to(config.train.device).eval()
    Checkpointer(model).load(f"{config.train.output_dir}/model_final.pth", checkpointables=[])
    return model


def choose_images(dataset: Sequence[dict], count: int, most_objects: int = 16) -> list[dict]:
    """Images for a picture that people can read: evenly from those with few objects.

    Args:
        dataset: the images, with ``annotations``.
        count: how many to choose.
        most_objects: an image with more objects, or with none, is left out if there are others.

    Returns:
        ``count`` images in the order of the dataset, or all if there are fewer.
    """
    readable = [r for r in dataset if 0 < len(r["annotations"]) <= most_objects] or list(dataset)
    count = min(count, len(readable))
    return [readable[i * len(readable) // count] for i in range(count)]


def draw_comparison(
    models: Mapping[str, ProposalNetwork], records: Sequence[dict], picture: Path
) -> None:
    """Draw the proposals of every model on some images; a cascade gets a column per stage.

    Args:
        models: name -> ``ProposalNetwork`` in evaluation mode.
        records: images of a dataset, with ``file_name`` and ``annotations``.
        picture: file to write.
    """
    images = [detection_utils.read_image(r["file_name"], format="BGR") for r in records]
    columns: dict[str, list[Tensor]] = {}
    for name, model in models.items():
        for image in images:
            for stage, boxes in propose_by_stage(model, image).items():
                columns.setdefault(f"{name} {stage}".strip(), []).append(boxes)
    objects = [
        [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in r["annotations"]]
        for r in records
    ]
    truth = [torch.tensor(boxes).reshape(-1, 4) for boxes in objects]
    drawn = draw_stages([image[:, :, ::-1] for image in images], truth, columns)
    picture.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(picture), drawn[:, :, ::-1]):
        raise OSError(f"The picture {picture} could not be written: is there space left?")


@torch.no_grad()
def propose_by_stage(model: ProposalNetwork, image: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
    """Proposals of an image: one entry ``""``, or ``"stage 1"``, ``"stage 2"``, ... for a cascade.

    Args:
        model: ``ProposalNetwork`` in evaluation mode.
        image: (H, W, 3), in the channel order of the model.

    Returns:
        Boxes (n, 4) by the name of the stage, XYXY in pixels of the image, best first.
    """
    height, width = image.shape[:2]
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
    if not isinstance(model.proposal_generator, CascadeRPN):
        output = model([{"image": pixels, "height": height, "width": width}])[0]
        return {"": output["proposals"].proposal_boxes.tensor.cpu()}
    normalized = (pixels.to(model.pixel_mean.device) - model.pixel_mean) / model.pixel_std
    images = ImageList.from_tensors([normalized], model.backbone.size_divisibility)
    stages = model.proposal_generator.propose_by_stage(images, model.backbone(images.tensor))
    found = (detector_postprocess(proposals[0], height, width) for proposals in stages)
    return {
        f"stage {number}": proposals.proposal_boxes.tensor.cpu()
        for number, proposals in enumerate(found, start=1)
    }
