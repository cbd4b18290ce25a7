"""Several generators of proposals side by side: trained alike, measured alike, drawn on the same
images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from detectron2.config import instantiate
from detectron2.modeling.meta_arch import ProposalNetwork
from omegaconf import DictConfig
from tabulate import tabulate

from ..checkpoint import Checkpointer
from ..visualization import save_image
from .evaluation import Results
from .labelled_images import choose_images
from .predictor import BatchPredictor
from .stage_pictures import draw_records
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
    predictors = {
        name: BatchPredictor.from_config(load_trained(config), config)
        for name, config in configs.items()
    }
    dataset = instantiate(next(iter(configs.values())).dataloader.test.dataset)
    save_image(picture, draw_records(predictors, choose_images(dataset, num_images)))
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
