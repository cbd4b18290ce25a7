"""Evaluations of a model, printed as a table and written as json."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from typing import Any

from detectron2.config import instantiate
from detectron2.evaluation import DatasetEvaluators, inference_on_dataset
from detectron2.utils import comm
from omegaconf import DictConfig, ListConfig
from tabulate import tabulate
from torch import nn

from ..checkpoint import Checkpointer, write_atomically
from .activity import activity_results, reset_activity
from .proposal_data import check_proposals
from .setup import prepare_run, require_registered
from .tta import with_tta

logger = logging.getLogger(__name__)

Results = dict[str, dict[str, float]]


def evaluate(config: DictConfig, model: nn.Module, *, name: str = "evaluation") -> Results:
    """Run the evaluators of a config on its test data.

    The results are logged as a table and written to ``<train.output_dir>/<name>.json``.

    Args:
        config: a training config.
        model: on the device it is to run on; its mode is restored.
        name: of the file, without its suffix.

    Returns:
        The metrics of each task, such as ``{"box_proposals": {"AR@100": ...}}``, and for a model
        with guided anchors ``"anchors"``, see :func:`.activity.activity_results`; empty without
        test data or evaluator, and on other processes than the main one.
    """
    data = config.dataloader
    if data.get("test") is None or data.get("evaluator") is None:
        return {}
    evaluator = instantiate(data.evaluator)
    if isinstance(evaluator, ListConfig):
        evaluator = DatasetEvaluators(list(evaluator))
    reset_activity(model)
    results = inference_on_dataset(model, instantiate(data.test), evaluator)
    results = {**results, **activity_results(model)}
    if not comm.is_main_process():
        return {}
    logger.info("Results on %s\n%s", data.test.dataset.names, results_table(results))
    path = os.path.join(config.train.output_dir, f"{name}.json")
    write_results(results, path)
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
    prepare_run(config)
    if config.dataloader.get("test") is None or config.dataloader.get("evaluator") is None:
        raise ValueError(
            "There is nothing to evaluate on: give --test-data images_dir:annotations.json, or a "
            "config with dataloader.test and dataloader.evaluator."
        )
    model = evaluated = instantiate(config.model).to(config.train.device)
    if tta:
        config, evaluated = with_tta(config, model)
        name = f"{name}_tta"
    checkpointer = Checkpointer(model, config.train.output_dir)
    path = config.train.init_checkpoint
    if resume and checkpointer.has_checkpoint():
        path = checkpointer.get_checkpoint_file()
    if not path:
        raise ValueError("There are no weights to evaluate: give --weights <file>.")
    checkpointer.load(path, checkpointables=[])
    return evaluate(config, evaluated, name=name)


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


def write_results(results: Mapping[str, Mapping[str, float]], path: str) -> None:
    """Write results as json, in which a metric without a value (NaN) is null."""
    plain: dict[str, Any] = {
        task: {name: _number(value) for name, value in metrics.items()}
        for task, metrics in results.items()
    }
    content = json.dumps(plain, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(content.encode()))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
