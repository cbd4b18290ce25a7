"""AP of detectors by IoU threshold and by the size of objects (CPM R-CNN, Figure 8): measured or
read, as a table, as json and as a figure."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from ..config.max_detections import USUAL, max_detections
from ..data.categories import original_name
from ..engine.categories import class_counts
from ..engine.evaluation import Results, read_results
from ..engine.labelled_images import choose_dataset, load_records, read_record
from ..engine.model_choices import ModelChoice, choose_models
from ..engine.output_files import prepare_file, prepare_picture, write_json
from ..engine.predictor import BatchPredictor
from ..evaluation import DetectionEvaluator
from ..visualization import plot_precision, save_image

TASK = "bbox"
SIZES = {"all": "AP", "small": "APs", "medium": "APm", "large": "APl"}
# The evaluations of a run's folder, that of its end first.
_FILES = ("evaluation_final.json", "evaluation.json")


@dataclass(frozen=True)
class Precision:
    """How precise one detector is.

    Args:
        by_iou: (IoU threshold, AP in per cent), ascending, as far as it is known.
        by_size: name of a size -> AP in per cent, None without objects of that size.
        data: what it was measured on, None if that is not known.
        source: where it is from, as words for a file.
    """

    by_iou: tuple[tuple[float, float], ...]
    by_size: dict[str, float | None]
    data: str | None
    source: Mapping[str, Any]


def precision_of(
    results: Results, *, what: str, data: str | None, source: Mapping[str, Any]
) -> Precision:
    """The precision that an evaluation has found.

    Args:
        results: the metrics of each task; those of earlier versions know fewer IoUs.
        what: how to call the evaluation in a message.
        data, source: see :class:`Precision`.

    Raises:
        ValueError: if it is of no detector, or there was nothing to find or nothing found.
    """
    metrics = results.get(TASK, {})
    percents = [k for k in range(50, 100, 5) if _number(metrics, f"AP{k}") is not None]
    if not percents:
        raise ValueError(
            f"{what} has no AP of boxes: give that of a detector which detects something, on data "
            "with objects."
        )
    return Precision(
        by_iou=tuple((k / 100, metrics[f"AP{k}"]) for k in percents),
        by_size={size: _number(metrics, name) for size, name in SIZES.items()},
        data=data,
        source=source,
    )


def read_precision(path: str | os.PathLike[str]) -> Precision:
    """The precision that an evaluation has written.

    Args:
        path: its json file, or the folder of a run, whose final evaluation is taken.

    Raises:
        ValueError: if there is none, or as :func:`precision_of`.
    """
    given = Path(path)
    candidates = [given / name for name in _FILES] if given.is_dir() else [given]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise ValueError(
            f"There is no evaluation at {given}: give the folder of a run that was evaluated, or "
            "the evaluation.json in it."
        )
    results, measurement = read_results(file)
    names = None if measurement is None else ", ".join(name for name, _ in measurement.test_data)
    return precision_of(results, what=str(file), data=names, source={"results": str(file)})


def measure_precision(
    model: ModelChoice, data: str | None = None, device: str | None = None, *, batch_size: int = 4
) -> Precision:
    """The precision of a detector on a dataset, counted as evaluations count it.

    Args:
        model: a detector.
        data: a registered dataset, or ``images_dir:annotations.json``; the config's test data by
            default.
        device: where to run; a GPU if there is one by default.
        batch_size: images that are read at once.

    Raises:
        ValueError: if the model is no detector, its classes are not those of the data, these have
            no annotations, or as :func:`precision_of`.
        OSError: if weights, annotations or an image cannot be read.
    """
    config = model.config()
    if not class_counts(config):
        raise ValueError(
            f"{model.config_file} makes proposals, which have no AP: give a detector, or draw "
            "their recall."
        )
    name = choose_dataset(config, data, by_class=True)
    records = load_records(name)
    evaluator = DetectionEvaluator(
        name, (TASK,), distributed=False, max_dets_per_image=max_detections(config) or USUAL
    )
    if not evaluator.has_annotations:
        raise ValueError(f"'{name}' has no annotations to measure against: give data that have.")
    evaluator.reset()
    for record, output in _detections(model.load(device), records, batch_size):
        evaluator.process([record], [output])
    return precision_of(
        evaluator.evaluate(),
        what=f"'{model.name}' on '{name}'",
        data=original_name(name),
        source=model.description(),
    )


def _detections(
    predictor: BatchPredictor, records: Sequence[dict[str, Any]], batch_size: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every record with what is found in its image, with a bar that shows how far it is."""
    iterator = iter(records)
    with tqdm(total=len(records), unit="image", disable=None) as bar:
        while batch := list(islice(iterator, batch_size)):
            images = [read_record(record, predictor.reader) for record in batch]
            yield from zip(batch, predictor(images), strict=True)
            bar.update(len(batch))


def precision_table(found: Mapping[str, Precision]) -> str:
    """AP in per cent, a row per detector: at every IoU that is known of one, and by size."""
    ious = sorted({iou for each in found.values() for iou, _ in each.by_iou})
    rows = [
        [name, *(dict(each.by_iou).get(iou) for iou in ious), *each.by_size.values()]
        for name, each in found.items()
    ]
    headers = ["AP at IoU", *(f"{iou:.2f}" for iou in ious), *SIZES]
    return tabulate(rows, headers, tablefmt="github", floatfmt=".1f")


def write_precision(path: Path, found: Mapping[str, Precision]) -> None:
    """Write the precisions as json.

    Raises:
        OSError: if the file cannot be written.
    """
    content = {
        "models": {
            name: {
                **each.source,
                "dataset": each.data,
                "by_iou": {f"{iou:.2f}": value for iou, value in each.by_iou},
                "by_size": each.by_size,
            }
            for name, each in found.items()
        }
    }
    write_json(path, content)


def visualize_precision(
    config_file: Sequence[str],
    weights: Sequence[str],
    model: Sequence[Sequence[str]],
    overrides: Sequence[str],
    output: str,
    device: str | None = None,
    data: str | None = None,
    results: Sequence[Sequence[str]] = (),
    batch_size: int = 4,
) -> str:
    """Plot AP by IoU threshold and by size of several detectors (CPM R-CNN, Figure 8).

    Args:
        config_file, weights, model, overrides: of detectors to evaluate, see
            :func:`.choose_models`; none if there are ``results``.
        output: file of the figure; the values are written beside it as json.
        device: where to run; a GPU if there is one by default.
        data: the images and their objects, for the models.
        results: (name, file or folder of a run) of evaluations to read, which come first.
        batch_size: images at once.

    Returns:
        The table, and whether what is compared was measured on different data.

    Raises:
        ValueError: if there is nothing to draw, if two detectors have one name, if ``weights``,
            ``overrides`` or ``data`` are given without a model, or as :func:`read_precision` and
            :func:`measure_precision`.
        OSError: as :func:`measure_precision`, or if a file cannot be written.
    """
    if not (config_file or model or results):
        raise ValueError(
            "There is nothing to draw: give evaluations, --results NAME PATH, or detectors, "
            "--model NAME CONFIG WEIGHTS or --config-file CONFIG."
        )
    given = bool(config_file or model)
    if not given and (weights or overrides or data):
        raise ValueError(
            "Weights, data and overrides change no evaluation that is read: leave them out, or "
            "give the model that they are for."
        )
    models = choose_models(config_file, weights, model, overrides) if given else []
    names = [name for name, _ in results] + [m.name for m in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Two detectors are called '{twice[0]}': give them names of their own.")
    picture = prepare_picture(output)
    values = prepare_file(picture.with_suffix(".json"), "precision.png")
    found = {name: read_precision(path) for name, path in results}
    for each in models:
        found[each.name] = measure_precision(each, data, device, batch_size=batch_size)
    drawn = plot_precision(
        {name: each.by_iou for name, each in found.items()},
        {name: each.by_size for name, each in found.items()},
    )
    save_image(picture, drawn)
    write_precision(values, found)
    return (
        f"Average precision (per cent):\n\n{precision_table(found)}\n\n{_data_sentence(found)}\n\n"
        f"The curves: {picture}, their values: {values}"
    )


def _data_sentence(found: Mapping[str, Precision]) -> str:
    """What was measured on what."""
    data = {name: each.data or "data that are not recorded" for name, each in found.items()}
    known = all(each.data for each in found.values())
    if len(data) == 1 or (known and len(set(data.values())) == 1):
        return f"On {next(iter(data.values()))}."
    parts = "; ".join(f"'{name}' on {on}" for name, on in data.items())
    return f"Only those on the same data compare: {parts}."


def _number(metrics: Mapping[str, float | None], name: str) -> float | None:
    value = metrics.get(name)
    return value if value is not None and math.isfinite(value) else None
