"""The pictures of Guided Anchoring, from the arguments of a command; see :mod:`.visualize`."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.images import find_sources
from ..model_zoo import InputFormat, get_config
from ..visualization import plot_densities, plot_iou_counts, save_image
from .anchor_pictures import draw_anchors
from .anchor_shapes import (
    RATIO,
    SCALE,
    measure_shapes,
    shape_densities,
    shapes_table,
    sliding_window,
    write_shapes,
)
from .iou_counts import IOUS, iou_table, measure_ious, write_ious
from .labelled_images import choose_dataset, choose_images, load_records, pick_images, read_record
from .model_choices import choose_model, choose_models
from .output_files import prepare_file, prepare_picture
from .stage_pictures import still_images

# Of the anchors that RPN has in a cell.
RPN_RATIOS = (0.5, 1.0, 2.0)


def visualize_anchors(
    config_file: str,
    weights: str | None,
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    input: Sequence[str] | None = None,
    data: str | None = None,
    num_images: int = 3,
    image_ids: Sequence[str] | None = None,
    top_k: int = 50,
    width: int = 1120,
) -> str:
    """Draw where guided anchors are and which shape they have (Guided Anchoring, Figure 4).

    Args:
        config_file, weights, overrides: of a model with guided anchors.
        output: file of the picture.
        device: where to run; a GPU if there is one by default.
        input, data: the images.
        num_images: how many to show.
        image_ids: which images of the dataset to show, instead of some with few objects.
        top_k: how many anchors of an image to draw.
        width: pixels of the picture.

    Returns:
        What was drawn.
    """
    model = choose_model(config_file, weights, overrides)
    picture = prepare_picture(output)
    reader = InputFormat.from_config(model.config()).reader
    if input:
        if image_ids:
            raise ValueError("Image ids belong to a dataset: leave them out with files.")
        found = find_sources(input)
        images = [reader(source.path) for source in still_images(found, num_images)]
        total = len(found)
    else:
        records = load_records(choose_dataset(model.config(), data))
        chosen = (
            pick_images(records, image_ids) if image_ids else choose_images(records, num_images)
        )
        images = [read_record(record, reader) for record in chosen]
        total = len(records)
    save_image(picture, draw_anchors(model.load(device), images, top=top_k, width=width))
    return f"{len(images)} of {total} images in {picture}."


def visualize_anchor_shapes(
    config_file: str,
    weights: str | None,
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    data: str | None = None,
    max_images: int | None = None,
    baseline: str | None = None,
) -> str:
    """Plot scales and aspect ratios of objects and of anchors (Guided Anchoring, Figure 6).

    Args:
        config_file, weights, overrides: of a model with guided anchors.
        output: file of the picture; the values are written beside it as json.
        device: where to run; a GPU if there is one by default.
        data: the images and their objects.
        max_images: look at the first so many images only.
        baseline: config of the anchors to compare with; by default those that an RPN would have in
            the place of the model's squares, in three aspect ratios.

    Returns:
        The table of quantiles.
    """
    model = choose_model(config_file, weights, overrides)
    picture = prepare_picture(output)
    values = prepare_file(picture.with_suffix(".json"), "shapes.png")
    window = (
        sliding_window(get_config(baseline))
        if baseline
        else sliding_window(model.config(), RPN_RATIOS)
    )
    name = choose_dataset(model.config(), data)
    records = load_records(name)[:max_images]
    found = measure_shapes(model.load(device), window, records)
    densities = shape_densities(found)
    drawn = plot_densities(
        {"scale √(w·h) in pixels": densities[SCALE], "aspect ratio h/w": densities[RATIO]}
    )
    save_image(picture, drawn)
    write_shapes(values, name, model, baseline or "the model's squares in three ratios", found)
    return (
        f"Shapes on {found.images} images of '{name}', scaled as for the model:\n\n"
        f"{shapes_table(found)}\n\nTheir distribution: {picture}, its values: {values}"
    )


def visualize_iou(
    config_file: Sequence[str],
    weights: Sequence[str],
    model: Sequence[Sequence[str]],
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    data: str | None = None,
    top_k: int = 1000,
    batch_size: int = 4,
) -> str:
    """Plot how many proposals overlap with an object how well (Guided Anchoring, Figure 3).

    Args:
        config_file, weights, model, overrides: see :func:`.choose_models`.
        output: file of the picture; the values are written beside it as json.
        device: where to run; a GPU if there is one by default.
        data: the images and their objects.
        top_k: best proposals of an image to look at.
        batch_size: images at once.

    Returns:
        The table of proposals an image.
    """
    models = choose_models(config_file, weights, model, overrides)
    picture = prepare_picture(output)
    values = prepare_file(picture.with_suffix(".json"), "iou.png")
    name = choose_dataset(models[0].config(), data)
    records = load_records(name)
    found = {
        m.name: measure_ious(m.load(device), records, top_k, batch_size=batch_size) for m in models
    }
    drawn = plot_iou_counts(
        {label: counts.per_image() for label, counts in found.items()},
        IOUS.tolist(),
        title=f"best {top_k} proposals an image",
    )
    save_image(picture, drawn)
    write_ious(values, name, top_k, models, found)
    return (
        f"Proposals on {len(records)} images of '{name}' that overlap with an object:\n\n"
        f"{iou_table(found)}\n\nThe curves: {picture}, their values: {values}"
    )
