"""The pictures of Grid R-CNN and CPM R-CNN, from the arguments of a command; see
:mod:`.visualize`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..data.images import find_sources
from ..model_zoo import InputFormat
from ..visualization import plot_score_ious, save_image
from .grid_pictures import GivenImage, Pick, draw_grid, draw_refinement
from .labelled_images import choose_dataset, choose_images, load_records, pick_images, read_record
from .model_choices import ModelChoice, choose_model
from .output_files import prepare_file, prepare_picture
from .predictor import Categories
from .score_pictures import draw_scores
from .score_quality import border_table, correlations, quality_table, write_quality
from .scored_detections import score_detections
from .stage_pictures import still_images


def visualize_grid(
    config_file: str,
    weights: str | None,
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    input: Sequence[str] | None = None,
    data: str | None = None,
    image_id: str | None = None,
    detection: int | None = None,
    stage: int = 1,
    width: int = 1120,
) -> str:
    """Draw the heat maps of a detection's grid points, and the box that is read from them.

    Args:
        config_file, weights, overrides: of a point-guided detector.
        output: file of the picture.
        device: where to run; a GPU if there is one by default.
        input, data: the image; of files the first.
        image_id: which image of the dataset, instead of one with few objects.
        detection, stage: see :func:`.draw_grid`.
        width: pixels of the picture.

    Returns:
        What was drawn.
    """
    model = choose_model(config_file, weights, overrides)
    picture = prepare_picture(output)
    ids = None if image_id is None else [image_id]
    (image,), _ = _given_images(model, input, data, ids, 1)
    predictor = model.load(device)
    drawn = draw_grid(predictor, image, detection=detection, stage=stage, width=width)
    save_image(picture, drawn)
    return f"Heat maps of stage {stage} on {image.name} in {picture}."


def visualize_refinement(
    config_file: str,
    weights: str | None,
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    input: Sequence[str] | None = None,
    data: str | None = None,
    num_images: int = 3,
    image_ids: Sequence[str] | None = None,
    pick: Pick = "best",
    width: int = 1120,
) -> str:
    """Draw a box moving through the stages on each of several images (CPM R-CNN, Figure 3).

    Args:
        config_file, weights, overrides: of a point-guided detector.
        output: file of the picture.
        device: where to run; a GPU if there is one by default.
        input, data: the images.
        num_images: how many to show.
        image_ids: which images of the dataset to show, instead of some with few objects.
        pick: which box of an image, see :func:`.choose_detection`.
        width: pixels of the picture.

    Returns:
        What was drawn.
    """
    model = choose_model(config_file, weights, overrides)
    picture = prepare_picture(output)
    images, total = _given_images(model, input, data, image_ids, num_images)
    drawn, count = draw_refinement(model.load(device), images, pick=pick, width=width)
    save_image(picture, drawn)
    told = f"{count} of {total} images in {picture}."
    if count < len(images):
        told += f" Nothing is detected in {len(images) - count} more that were chosen."
    return told


def visualize_scores(
    config_file: str,
    weights: str | None,
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    data: str | None = None,
    max_images: int | None = None,
    min_iou: float = 0.5,
    score_threshold: float = 0.5,
    columns: int = 3,
    width: int = 1120,
) -> str:
    """Draw detections with their scores beside their true IoU (CPM R-CNN, Figures 5 and 6).

    Args:
        config_file, weights, overrides: of a point-guided detector.
        output: file of the picture.
        device: where to run; a GPU if there is one by default.
        data: the images and their objects.
        max_images: look at the first so many images only.
        min_iou: see :func:`.score_detections`.
        score_threshold, columns: see :func:`.draw_scores`.
        width: pixels of the picture.

    Returns:
        The table of means.
    """
    model = choose_model(config_file, weights, overrides)
    picture = prepare_picture(output)
    config = model.config()
    name = choose_dataset(config, data, by_class=True)
    records = load_records(name)[:max_images]
    predictor = model.load(device)
    found = score_detections(predictor, records, min_iou=min_iou)
    drawn = draw_scores(
        found,
        records,
        class_names=Categories.from_config(config).names,
        columns=columns,
        score_threshold=score_threshold,
        width=width,
        reader=predictor.reader,
    )
    save_image(picture, drawn)
    return (
        f"Means of {len(found)} detections of an object on {len(records)} images of '{name}':\n\n"
        f"{border_table(found)}\n\nSome of them are in {picture}"
    )


def visualize_score_ious(
    config_file: str,
    weights: str | None,
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    data: str | None = None,
    max_images: int | None = None,
    min_iou: float = 0.5,
) -> str:
    """Plot the true IoU of detections over their scores (CPM R-CNN, Figure 1 below).

    Args:
        config_file, weights, overrides: of a point-guided detector.
        output: file of the picture; the values are written beside it as json.
        device: where to run; a GPU if there is one by default.
        data: the images and their objects.
        max_images: look at the first so many images only.
        min_iou: see :func:`.score_detections`.

    Returns:
        The table of correlations.
    """
    model = choose_model(config_file, weights, overrides)
    picture = prepare_picture(output)
    values = prepare_file(picture.with_suffix(".json"), "scores.png")
    name = choose_dataset(model.config(), data, by_class=True)
    records = load_records(name)[:max_images]
    found = score_detections(model.load(device), records, min_iou=min_iou)
    quality = correlations(found)
    # The one that the proposal had, and the one that detections are ranked by.
    ends = dict.fromkeys([next(iter(found.scores)), list(found.scores)[-1]])
    drawn = plot_score_ious(
        {label: found.scores[label].tolist() for label in ends},
        found.ious.tolist(),
        titles={label: f"{label}: correlation {quality[label].pearson:.2f}" for label in ends},
        size=(500 * len(ends), 420),
    )
    save_image(picture, drawn)
    write_quality(values, name, model, found)
    return (
        f"{len(found)} detections that overlap with an object of their class by {min_iou:g}, on "
        f"{len(records)} images of '{name}':\n\n{quality_table(found)}\n\n"
        f"They are in {picture}, the values in {values}"
    )


def _given_images(
    model: ModelChoice,
    files: Sequence[str] | None,
    data: str | None,
    image_ids: Sequence[str] | None,
    count: int,
) -> tuple[list[GivenImage], int]:
    """The images to draw, and how many there are."""
    reader = InputFormat.from_config(model.config()).reader
    if files:
        if image_ids:
            raise ValueError("Image ids belong to a dataset: leave them out with files.")
        found = find_sources(files)
        images = [
            GivenImage(str(source.path), reader(source.path))
            for source in still_images(found, count)
        ]
        return images, len(found)
    records = load_records(choose_dataset(model.config(), data))
    chosen = pick_images(records, image_ids) if image_ids else choose_images(records, count)
    images = [
        GivenImage(Path(record["file_name"]).name, read_record(record, reader), record)
        for record in chosen
    ]
    return images, len(records)
