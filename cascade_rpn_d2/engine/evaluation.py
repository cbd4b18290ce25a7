"""Evaluations of a model, printed as a table and written as json."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from detectron2.evaluation import (
    DatasetEvaluators,
    inference_on_dataset,
)
from detectron2.utils import comm
from omegaconf import DictConfig
from tabulate import tabulate
from torch import nn

from ..checkpoint import Checkpointer
from ..config.build import build_part
from ..config.max_detections import max_detections
from ..files.atomic import write_atomically
from .activity import activity_results, reset_activity
from .categories import Categories, dataset_names, match_data
from .evaluators import build_evaluators
from .labelled_images import count_objects, load_records
from .measurement import KEY, Measurement, TimedModel, measurement_of
from .proposal_data import check_proposals
from .setup import prepare_run, require_registered
from .tta import with_tta

logger = logging.getLogger(__name__)

Results = dict[str, dict[str, float]]


def evaluate(
    config: DictConfig,
    model: nn.Module,
    *,
    name: str = "evaluation",
    write_predictions: bool = True,
) -> Results:
    """Run the evaluators of a config on its test data.

    The results are logged as a table and written to ``<train.output_dir>/<name>.json``, with the
    test data, the model's time for an image and the machine (see :mod:`.measurement`), and beside
    it, in the form of COCO's results, what they are of: ``coco_instances_results<suffix>.json`` or
    ``coco_proposals_results<suffix>.json``, where ``name`` is ``evaluation<suffix>``.

    Args:
        config: a training config.
        model: on the device it is to run on; its mode is restored.
        name: of the file, without its suffix.
        write_predictions: False to write the results alone, and to leave out test data that have
            no annotations to evaluate against.

    Returns:
        The metrics of each task, such as ``{"box_proposals": {"AR@100": ...}}``, and for a model
        with guided anchors ``"anchors"``, see :func:`.activity.activity_results`; empty without
        test data or evaluator, for test data without annotations, and on other processes than the
        main one.
    """
    data = config.dataloader
    if data.get("test") is None or data.get("evaluator") is None:
        return {}
    folder = config.train.output_dir
    options = {"output_dir": folder, "suffix": name.removeprefix("evaluation")}
    evaluators = build_evaluators(config, **(options if write_predictions else {}))
    # Those of other packages do not say.
    measures = any(getattr(evaluator, "has_annotations", True) for evaluator in evaluators)
    if not (measures or write_predictions):
        return {}
    reset_activity(model)
    loader = build_part(data.test, "dataloader.test", Iterable)
    timed = TimedModel(model)
    results = inference_on_dataset(timed, loader, DatasetEvaluators(evaluators))
    if not measures:
        logger.info(
            "%s has no annotations: there is nothing to measure, what was found is written to %s.",
            *(data.test.dataset.names, folder),
        )
        return {}
    results = {**results, **activity_results(model)}
    measurement = measurement_of(config, timed)
    if not comm.is_main_process():
        return {}
    logger.info("Results on %s\n%s", data.test.dataset.names, results_table(results))
    if measurement.seconds is not None:
        logger.info(
            "The model takes %.4f s for an image (median of %d, without reading them).",
            *(measurement.seconds, measurement.timed),
        )
    path = os.path.join(folder, f"{name}.json")
    write_results(results, path, measurement)
    logger.info("Results written to %s", path)
    return results


def evaluate_checkpoint(
    config: DictConfig, *, resume: bool = False, name: str = "evaluation", tta: bool = False
) -> Results:
    """Evaluate ``train.init_checkpoint``, or with ``resume`` the last checkpoint of the output dir.

    Args:
        config: a training config.
        resume: prefer the last checkpoint of ``train.output_dir``, if there is one.
        name: of the file of results, without its suffix.
        tta: evaluate with test-time augmentation, see :func:`.tta.with_tta`; appends ``_tta`` to
            ``name``.

    Raises:
        ValueError: if there is nothing to evaluate, if the checkpoint is of another model, if a
            file of proposals does not fit the data, or if the model cannot be augmented.
        OSError: if there is no such checkpoint.
    """
    require_registered(config, "test")
    check_proposals(config, training=False)
    prepare_run(config, training=False)
    if config.dataloader.get("test") is None or config.dataloader.get("evaluator") is None:
        raise ValueError(
            "There is nothing to evaluate on: give --test-data images_dir:annotations.json, or a "
            "config with dataloader.test and dataloader.evaluator."
        )
    model = evaluated = build_part(config.model, "model", nn.Module).to(config.train.device)
    if tta:
        config, evaluated = with_tta(config, model)
        name = f"{name}_tta"
    checkpointer = Checkpointer(model, config.train.output_dir)
    path = config.train.init_checkpoint
    if resume and checkpointer.has_checkpoint():
        path = checkpointer.get_checkpoint_file()
    if not path:
        raise ValueError("There are no weights to evaluate: give --weights <file>.")
    content = checkpointer.load(path, checkpointables=[])
    match_data(config, "test", Categories.from_checkpoint(content).names)
    warn_of_many_objects(config)
    return evaluate(config, evaluated, name=name)


def warn_of_many_objects(config: DictConfig) -> None:
    """Say if an image of the data has more objects than detections of it count.

    Args:
        config: whose test data, or without an evaluation whose training data, are registered.
    """
    limit = max_detections(config)
    if limit is None or not comm.is_main_process():
        return
    part = "train" if config.dataloader.get("evaluator") is None else "test"
    for name in dataset_names(config, part):
        counts = [count_objects(record) for record in load_records(name, ahead=True)]
        most = max(counts)
        if most > limit:
            logger.warning(
                "%d of the %d images of %s have more than %d objects, up to %d, but at most %d "
                "detections of an image are kept and count: give --max-detections %d.",
                *(sum(n > limit for n in counts), len(counts), name, limit, most, limit, most),
            )


def results_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """A table of one line of metrics for each task.

    The figures of single classes (``AP-person``), which may be many, are left to the json file.
    """
    tables = []
    for task, metrics in results.items():
        shown = {name: value for name, value in metrics.items() if "-" not in name}
        tables.append(
            tabulate([[task, *shown.values()]], ["task", *shown], tablefmt="github", floatfmt=".2f")
        )
    return "\n\n".join(tables)


def write_results(
    results: Mapping[str, Mapping[str, float]], path: str, measurement: Measurement | None = None
) -> None:
    """Write results as json, in which a metric without a value (NaN) is null.

    Args:
        results: the metrics of each task.
        path: of the file.
        measurement: what they were measured on, if that is known.
    """
    plain: dict[str, Any] = {
        task: {name: _number(value) for name, value in metrics.items()}
        for task, metrics in results.items()
    }
    if measurement is not None:
        plain[KEY] = measurement.to_json()
    content = json.dumps(plain, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(content.encode()))


def read_results(path: str | os.PathLike[str]) -> tuple[Results, Measurement | None]:
    """What :func:`write_results` has written: the metrics of each task, None for one without a
    value, and what they were measured on, None if the file does not say.

    Raises:
        OSError: if there is no such file.
        ValueError: if it is of something else.
    """
    try:
        plain = json.loads(Path(path).read_text())
        known = plain.pop(KEY, None)
        measurement = None if known is None else Measurement.from_json(known)
        values = [value for metrics in plain.values() for value in metrics.values()]
        if not all(value is None or type(value) in (int, float) for value in values):
            raise TypeError
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} holds no evaluation: give the evaluation.json of a run."
        ) from error
    return plain, measurement


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
