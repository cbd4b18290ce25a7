"""The evaluators of a config: built, and tried before a training."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    COCOEvaluator,
    DatasetEvaluator,
)
from detectron2.structures import Boxes, Instances
from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf

from ..evaluation import DetectionEvaluator, ProposalRecallEvaluator
from .categories import dataset_names
from .labelled_images import classes_of, count_objects, load_records, objects_of
from .processes import of_main_process

# How many images an evaluation is tried on.
_TRIED = 32
# The arguments that evaluators are tried with.
_TRYING = {"distributed": False, "output_dir": None}


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
