"""The proposals of the stages of one or several models beside each other (Cascade RPN, Figures 4
and 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..data import ImageReader
from ..data.images import Source
from ..visualization import draw_stages
from ..visualization.canvas import RGBImage
from .generators import propose_by_stage
from .labelled_images import objects_of, read_record
from .predictor import BatchPredictor


def draw_records(
    predictors: Mapping[str, BatchPredictor],
    records: Sequence[dict[str, Any]],
    *,
    top: int = 100,
    width: int = 1120,
) -> RGBImage:
    """Draw the proposals of every model on images of a dataset, coloured by what they cover.

    Args:
        predictors: heading -> predictor of proposals; a cascade gets a column per stage.
        records: Detectron2's dicts of the images, with ``file_name`` and ``annotations``.
        top: how many proposals of an image count.
        width: pixels of the picture.

    Returns:
        (H, width, 3) uint8, RGB.

    Raises:
        ValueError, OSError: if a model makes no proposals or an image cannot be read.
    """
    reader = _reader_of(predictors)
    images = [read_record(record, reader) for record in records]
    objects = [objects_of(record) for record in records]
    return draw_stages(
        [image[:, :, ::-1] for image in images],
        objects,
        stage_columns(predictors, images),
        top=top,
        width=width,
    )


def draw_sources(
    predictors: Mapping[str, BatchPredictor],
    sources: Sequence[Source],
    *,
    top: int = 20,
    width: int = 1120,
) -> RGBImage:
    """Draw the best proposals of every model on image files, coloured by their rank.

    Args:
        predictors: as of :func:`draw_records`.
        sources: the files, no videos.
        top: how many proposals are drawn.
        width: pixels of the picture.

    Returns:
        (H, width, 3) uint8, RGB.

    Raises:
        ValueError, OSError: if a model makes no proposals or an image cannot be read.
    """
    reader = _reader_of(predictors)
    images = [reader(source.path) for source in sources]
    return draw_stages(
        [image[:, :, ::-1] for image in images],
        None,
        stage_columns(predictors, images),
        top=top,
        width=width,
    )


def _reader_of(predictors: Mapping[str, BatchPredictor]) -> ImageReader:
    """That of the first model, as the data are those of its config."""
    return next(iter(predictors.values())).reader


def stage_columns(
    predictors: Mapping[str, BatchPredictor], images: Sequence[npt.NDArray[np.uint8]]
) -> dict[str, list[Tensor]]:
    """Proposals of every image (n, 4) by heading: ``{"RPN": [...], "Cascade RPN stage 1": [...]}``.

    Args:
        predictors: as of :func:`draw_records`; a model called ``""`` is told by its stages alone.
        images: (H, W, 3) uint8 in BGR order.
    """
    columns: dict[str, list[Tensor]] = {}
    for name, predictor in predictors.items():
        for image in images:
            for stage, boxes in propose_by_stage(predictor, image).items():
                heading = f"{name} {stage}".strip() if name else (stage or "proposals").capitalize()
                columns.setdefault(heading, []).append(boxes)
    return columns


def still_images(sources: Iterable[Source], limit: int) -> list[Source]:
    """The first ``limit`` sources that are images.

    Raises:
        ValueError: if all of them are videos.
    """
    chosen = list(islice((source for source in sources if not source.is_video), limit))
    if not chosen:
        raise ValueError("There are only videos: give images to draw.")
    return chosen
