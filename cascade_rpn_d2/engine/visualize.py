"""From the arguments of a command to a picture: what ``cascade-rpn visualize`` does.

Every function loads models and images, writes a picture, and returns what to tell the user. A model
is given as in :func:`.choose_models`, images as ``data`` (a registered dataset, or
``images_dir:annotations.json``) or as files (``input``); by default they are the test data of the
(first) config. All raise ``ValueError`` and ``OSError`` with a sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.images import find_sources
from ..evaluation.matching import IOU_THRESHOLDS
from ..model_zoo import InputFormat
from ..visualization import draw_convolutions, plot_histograms, plot_recall, save_image
from .convolution_pictures import (
    Cell,
    adaptive_sampling,
    best_cell,
    cell_centers,
    centers_of,
    learned_sampling,
    plain_samplings,
)
from .generators import trace
from .labelled_images import choose_dataset, choose_images, load_records, pick_images, read_record
from .model_choices import ModelChoice, choose_model, choose_models
from .output_files import prepare_file, prepare_picture
from .recall_curves import NUMBERS, measure_recall, recall_table, write_recall
from .regression_targets import DELTAS, load_for_targets, measure_targets, targets_table
from .stage_pictures import draw_records, draw_sources, still_images

# How many proposals a picture has: pale ones in the background are many, coloured ones few.
_TOP_OF_DATASET, _TOP_OF_FILES = 100, 20


def visualize_stages(
    config_file: Sequence[str],
    weights: Sequence[str],
    model: Sequence[Sequence[str]],
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    input: Sequence[str] | None = None,
    data: str | None = None,
    num_images: int = 4,
    image_ids: Sequence[str] | None = None,
    top_k: int | None = None,
    width: int = 1120,
) -> str:
    """Draw the proposals of every stage of several models (Cascade RPN, Figures 4 and 5).

    Args:
        config_file, weights, model, overrides: see :func:`.choose_models`.
        output: file of the picture.
        device: where to run; a GPU if there is one by default.
        input, data: the images.
        num_images: how many to show.
        image_ids: which images of the dataset to show, instead of some with few objects.
        top_k: how many proposals of an image to show.
        width: pixels of the picture.

    Returns:
        What was drawn.
    """
    models = choose_models(config_file, weights, model, overrides)
    picture = prepare_picture(output)
    # The name of a single model would say nothing that its stages do not.
    named = len(models) > 1 or bool(model)
    if input:
        if image_ids:
            raise ValueError("Image ids belong to a dataset: leave them out with files.")
        found = find_sources(input)
        sources = still_images(found, num_images)
        predictors = {m.name if named else "": m.load(device) for m in models}
        drawn = draw_sources(predictors, sources, top=top_k or _TOP_OF_FILES, width=width)
        shown, total = len(sources), len(found)
    else:
        records = load_records(choose_dataset(models[0].config(), data))
        chosen = (
            pick_images(records, image_ids) if image_ids else choose_images(records, num_images)
        )
        predictors = {m.name if named else "": m.load(device) for m in models}
        drawn = draw_records(predictors, chosen, top=top_k or _TOP_OF_DATASET, width=width)
        shown, total = len(chosen), len(records)
    save_image(picture, drawn)
    return f"{shown} of {total} images in {picture}."


def visualize_sampling(
    config_file: str,
    weights: str | None,
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    input: Sequence[str] | None = None,
    data: str | None = None,
    image_id: str | None = None,
    cell: Sequence[str] | None = None,
    deformable: Sequence[str] | None = None,
    width: int = 1000,
) -> str:
    """Draw where different convolutions read for the same cells (Cascade RPN, Figure 3).

    Args:
        config_file, weights, overrides: of a model with an adaptive convolution.
        output: file of the picture.
        device: where to run; a GPU if there is one by default.
        input, data: the image; of files the first.
        image_id: which image of the dataset, instead of one with few objects.
        cell: cells as of :meth:`.Cell.parse`, of one level; that of the best proposal by default.
        deformable: config and weights of a model with learned offsets, for a panel of its own.
        width: pixels of the picture.

    Returns:
        Which cells were drawn, and what was left out.
    """
    model = choose_model(config_file, weights, overrides)
    picture = prepare_picture(output)
    cells = [Cell.parse(text) for text in cell or ()]
    image, what = _one_image(model, input, data, image_id)
    seen = trace(model.load(device), image)
    cells = cells or [best_cell(seen)]
    samplings = plain_samplings(seen, cells)
    notes = []
    if len(samplings) == 1:
        notes.append("There is no panel of a dilated convolution: stage 1 of the config has none.")
    if deformable:
        (other,) = choose_models(named=[("deformable", *deformable)])
        learned = trace(other.load(device), image)
        if not np.allclose(centers_of(learned, cells), centers_of(seen, cells), atol=0.5):
            raise ValueError(
                f"The cells of {other.config_file} are elsewhere in the image than those of "
                f"{config_file}: give a model with the same levels and anchors."
            )
        samplings.append(learned_sampling(learned, cells))
    else:
        notes.append(
            "There is no panel of a deformable convolution: its offsets are learned; give "
            "--deformable CONFIG WEIGHTS of a model with a LearnedAlignment."
        )
    samplings.append(adaptive_sampling(seen, cells))
    drawn = draw_convolutions(
        image[:, :, ::-1],
        centers_of(seen, cells),
        samplings,
        cell_centers(seen, cells[0].level),
        width=width,
    )
    save_image(picture, drawn)
    which = "cell" if len(cells) == 1 else "cells"
    return "\n".join([f"{which} {' '.join(map(str, cells))} of {what} in {picture}.", *notes])


def visualize_targets(
    config_file: str,
    weights: str | None,
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    data: str | None = None,
    max_images: int | None = None,
    first_stage: bool = False,
) -> str:
    """Draw the distribution of the regression targets of every stage (Cascade RPN, Figure 1a).

    Args:
        config_file, weights, overrides: of the model.
        output: file of the picture.
        device: where to run; a GPU if there is one by default.
        data: the images and their objects.
        max_images: look at the first so many images only.
        first_stage: measure stage 1 only, which needs no weights.

    Returns:
        The table of means and standard deviations.
    """
    model = choose_model(config_file, weights, overrides)
    picture = prepare_picture(output)
    name = choose_dataset(model.config(), data)
    records = load_records(name)[:max_images]
    predictor = load_for_targets(model, device, first_stage_only=first_stage)
    targets = measure_targets(predictor, records, first_stage_only=first_stage)
    empty = [stage for stage, found in targets.items() if not len(found.deltas)]
    if empty:
        raise ValueError(
            f"No box of {empty[0]} is positive on the {len(records)} images of '{name}': give a "
            "trained model, more images, or --first-stage."
        )
    drawn = plot_histograms(
        {stage: found.deltas.numpy() for stage, found in targets.items()},
        DELTAS,
        xlabel="regression target of the positive boxes, in units of the box",
    )
    save_image(picture, drawn)
    return (
        f"Regression targets on {len(records)} images of '{name}', in units of the box that they "
        f"start from, not divided by any statistics:\n\n{targets_table(targets)}\n\n"
        f"Their distribution: {picture}"
    )


def visualize_recall(
    config_file: Sequence[str],
    weights: Sequence[str],
    model: Sequence[Sequence[str]],
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    data: str | None = None,
    at: int = 100,
    numbers: Sequence[int] = NUMBERS,
    batch_size: int = 4,
) -> str:
    """Plot recall against IoU and average recall against the number of proposals.

    Args:
        config_file, weights, model, overrides: see :func:`.choose_models`.
        output: file of the picture; the values are written beside it as json.
        device: where to run; a GPU if there is one by default.
        data: the images and their objects.
        at: number of proposals of the curve over IoU.
        numbers: of proposals of the curve over their number.
        batch_size: images at once.

    Returns:
        The table of average recall.
    """
    models = choose_models(config_file, weights, model, overrides)
    picture = prepare_picture(output)
    values = prepare_file(picture.with_suffix(".json"), "recall.png")
    name = choose_dataset(models[0].config(), data)
    records = load_records(name)
    curves = {
        m.name: measure_recall(
            m.load(device), name, records, [*numbers, at], batch_size=batch_size
        )
        for m in models
    }  # fmt: skip
    drawn = plot_recall(
        {label: curve.against_iou(at) for label, curve in curves.items()},
        IOU_THRESHOLDS.tolist(),
        {label: curve.averages() for label, curve in curves.items()},
        number=at,
    )
    save_image(picture, drawn)
    write_recall(values, name, models, curves)
    return (
        f"Average recall on '{name}' (per cent):\n\n{recall_table(curves)}\n\n"
        f"The curves: {picture}, their values: {values}"
    )


def _one_image(
    model: ModelChoice,
    files: Sequence[str] | None,
    data: str | None,
    image_id: str | None,
) -> tuple[npt.NDArray[np.uint8], Any]:
    """An image (H, W, 3) uint8 in BGR order, and the file that it is from."""
    reader = InputFormat.from_config(model.config()).reader
    if files:
        if image_id:
            raise ValueError("An image id belongs to a dataset: leave it out with a file.")
        (source,) = still_images(find_sources(files), 1)
        return reader(source.path), source.path
    records = load_records(choose_dataset(model.config(), data))
    (record,) = pick_images(records, [image_id]) if image_id else choose_images(records, 1)
    return read_record(record, reader), record["file_name"]
