"""Evaluations of a model, printed as a table and written as json."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    inference_on_dataset,
)
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf
from tabulate import tabulate
from torch import nn

from ..checkpoint import Checkpointer
from ..config.build import build_part
from ..config.max_detections import max_detections
from ..evaluation import DetectionEvaluator, ProposalRecallEvaluator
from ..files.atomic import write_atomically
from .activity import activity_results, reset_activity
from .categories import Categories, dataset_names, match_data
from .labelled_images import classes_of, count_objects, load_records, objects_of
from .processes import of_main_process
from .proposal_data import check_proposals
from .setup import prepare_run, require_registered
from .tta import with_tta

logger = logging.getLogger(__name__)

Results = dict[str, dict[str, float]]

# How many images an evaluation is tried on.
_TRIED = 32
# The arguments that evaluators are tried with.
_TRYING = {"distributed": False, "output_dir": None}


def evaluate(
    config: DictConfig,
    model: nn.Module,
    *,
    name: str = "evaluation",
    write_predictions: bool = True,
) -> Results:
    """Run the evaluators of a config on its test data.

    The results are logged as a table and written to ``<train.output_dir>/<name>.json``, and beside
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
    results = inference_on_dataset(model, loader, DatasetEvaluators(evaluators))
    if not measures:
        logger.info(
            "%s has no annotations: there is nothing to measure, what was found is written to %s.",
            *(data.test.dataset.names, folder),
        )
        return {}
    results = {**results, **activity_results(model)}
    if not comm.is_main_process():
        return {}
    logger.info("Results on %s\n%s", data.test.dataset.names, results_table(results))
    path = os.path.join(folder, f"{name}.json")
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


def build_evaluators(
    config: DictConfig, *, trying: bool = False, **options: Any
) -> list[DatasetEvaluator]:
    """The evaluators of a config, which states one or a list of them.

    Args:
        config: a training config with ``dataloader.evaluator``.
        trying: have them write nothing and ask no other process, whatever the config states. Those
            that cannot be had so are left out.
        options: arguments for those evaluators that take them and for which the config does not
            state them.

    Raises:
        ValueError: if an evaluator cannot be built; says which and why.
    """
    stated = config.dataloader.evaluator
    plain = OmegaConf.to_container(stated, resolve=True) if OmegaConf.is_config(stated) else stated
    built = []
    for node in plain if isinstance(plain, list) else [plain]:
        target = node.get("_target_") if isinstance(node, dict) else None
        target = locate(target) if isinstance(target, str) else target
        if not callable(target):
            raise ValueError(
                f"dataloader.evaluator has {node!r}, which is no evaluator: change it."
            )
        taken = inspect.signature(target).parameters
        more = {k: v for k, v in options.items() if k in taken and node.get(k) is None}
        if trying:
            if _converts_data(target, node):
                continue
            more |= {k: v for k, v in _TRYING.items() if k in taken or k in node}
        try:
            evaluator = instantiate({**node, **more})
        except (ValueError, OSError):
            raise
        except Exception as error:
            raise _untried(node.get("dataset_name"), error) from error
        _require_order(evaluator)
        built.append(evaluator)
    return built


def _converts_data(target: Any, node: Mapping[str, Any]) -> bool:
    """Whether an evaluator of Detectron2's writes annotations that are in no file to its folder,
    without which it has none."""
    return (
        isinstance(target, type)
        and issubclass(target, COCOEvaluator)
        and node.get("output_dir") is not None
        and not hasattr(MetadataCatalog.get(node.get("dataset_name")), "json_file")
    )


def _require_order(evaluator: DatasetEvaluator) -> None:
    """Detectron2's own evaluator gives every AP the name that is in its place by the ids."""
    if isinstance(evaluator, COCOEvaluator) and not isinstance(evaluator, DetectionEvaluator):
        to_class = evaluator._metadata.get("thing_dataset_id_to_contiguous_id") or {}
        classes = [to_class[id] for id in sorted(to_class)]
        if classes != sorted(classes):
            raise ValueError(
                "The categories of the test data have another order than the classes of the model, "
                f"which {type(evaluator).__name__} does not follow: have "
                "cascade_rpn_d2.evaluation.DetectionEvaluator as dataloader.evaluator."
            )


def try_evaluation(config: DictConfig) -> frozenset[str] | None:
    """Evaluate a few annotations as if a model had found them, before anything is trained.

    A fault in the data that an evaluation stumbles over would otherwise be found after the
    training. It takes about the time to read the annotation file. Call it in all processes.

    Args:
        config: a training config, whose test data are registered.

    Returns:
        The names of the metrics that evaluations will have, such as ``"bbox/AP"``, as
        ``train.best_checkpoint.metric`` takes them. None if they cannot be known before: without
        evaluation, for test data without annotations, with an evaluator that is neither of this
        package nor Detectron2's of COCO or that has to write first, or for a model with masks or
        key points. What a model says of itself (``"anchors/..."``) is not among them.

    Raises:
        ValueError: if the test data cannot be evaluated on.
        OSError: if they cannot be read.
    """
    data = config.dataloader
    if data.get("test") is None or data.get("evaluator") is None:
        return None
    return of_main_process(lambda: _try_evaluation(config))


def _try_evaluation(config: DictConfig) -> frozenset[str] | None:
    names = dataset_names(config, "test")
    records = [record for name in names for record in load_records(name, ahead=True)]
    with_objects = [record for record in records if count_objects(record)]
    tried = with_objects[:: max(1, len(with_objects) // _TRIED)][:_TRIED] or records[:1]
    heads = OmegaConf.select(config, "model.roi_heads") or {}
    known = not any(heads.get(f"{kind}_head") for kind in ("mask", "keypoint"))
    metrics: set[str] = set()
    measures = False
    with _quiet_evaluators():
        evaluators = build_evaluators(config, trying=True)
        stated = config.dataloader.evaluator
        known &= len(evaluators) == (len(stated) if OmegaConf.is_list(stated) else 1)
        for evaluator in evaluators:
            if not _is_known(evaluator, config):
                known = False  # nor is it known what it takes
                continue
            try:
                metrics |= _metrics_of(evaluator, tried)
            except Exception as error:  # pycocotools and NumPy raise nearly anything
                raise _untried(", ".join(names), error) from error
            measures = measures or getattr(evaluator, "has_annotations", True)
    return frozenset(metrics) if known and measures else None


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


def _is_known(evaluator: DatasetEvaluator, config: DictConfig) -> bool:
    """Whether it is known what an evaluator takes, and gives for it."""
    if isinstance(evaluator, COCOEvaluator):
        detects = bool(config.model.get("roi_heads")) or "num_classes" in config.model
        return detects and not evaluator._tasks
    return isinstance(evaluator, ProposalRecallEvaluator)


def _metrics_of(evaluator: Any, records: list[dict[str, Any]]) -> set[str]:
    """The names of the results for a perfect model on a few images."""
    evaluator.reset()
    for record in records:
        size = record["height"], record["width"]
        boxes = Boxes(objects_of(record))
        scores, classes = torch.ones(len(boxes)), classes_of(record)
        output = {
            "instances": Instances(size, pred_boxes=boxes, scores=scores, pred_classes=classes),
            "proposals": Instances(size, proposal_boxes=boxes, objectness_logits=scores),
        }
        del output["proposals" if isinstance(evaluator, COCOEvaluator) else "instances"]
        evaluator.process([record], [output])
    if isinstance(evaluator, COCOEvaluator):
        results = evaluator.evaluate(img_ids=[record["image_id"] for record in records])
    else:
        results = evaluator.evaluate()
    return {f"{task}/{name}" for task, values in results.items() for name in values}


@contextlib.contextmanager
def _quiet_evaluators() -> Iterator[None]:
    """Nothing is to be told of an evaluation that means nothing."""
    loggers = [logging.getLogger(f"{name}.evaluation") for name in ("detectron2", __package__[:-7])]
    levels = [x.level for x in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # of pycocotools
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _untried(dataset: Any, error: Exception) -> ValueError:
    reason = (str(error).splitlines() or [""])[0]
    return ValueError(
        f"The test data '{dataset}' cannot be evaluated on ({type(error).__name__}: {reason}): "
        "mend their annotations, or give others as --test-data."
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
