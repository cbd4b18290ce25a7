"""What a location branch says of the images of a dataset, to learn how it was trained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from omegaconf import DictConfig
from torch import Tensor, nn
from tqdm import tqdm

from ..checkpoint.location_polarity import LocationStatistics, measure_locations
from .labelled_images import choose_images, objects_of, read_record
from .predictor import BatchPredictor
from .proposal_dump import records_to_propose_for
from .regression_targets import resized_objects


def measure_on_dataset(
    config: DictConfig, dataset: str, count: int = 50
) -> Callable[[nn.Module], LocationStatistics | None]:
    """A measurement for :func:`.convert_checkpoint`, of the objects of a dataset.

    Args:
        config: says how its model is fed.
        dataset: name of a registered dataset, or ``images_dir:annotations.json`` in COCO format.
        count: of images, which are taken evenly from those with objects.

    Raises:
        ValueError: if there is no such dataset, or it has no objects.
        OSError: if its files cannot be read.
    """
    name, records = records_to_propose_for(dataset)
    chosen = choose_images(records, count, most_objects=sys.maxsize)
    if not any(len(objects_of(record)) for record in chosen):
        raise ValueError(f"There are no objects in {name}: give a dataset with annotations.")

    def samples(model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        predictor = BatchPredictor.from_config(model, config)
        for record in tqdm(chosen, unit="image", disable=None):
            inputs: dict[str, Any] = predictor.preprocess(read_record(record, predictor.reader))
            yield inputs["image"], resized_objects(objects_of(record), inputs)

    source = f"on {len(chosen)} images of {name}"
    return lambda model: measure_locations(model, samples(model), source)
