"""How many detections of an image count: one number for model, test-time augmentation and
evaluation."""

from __future__ import annotations

import inspect
from typing import Any

from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf

# By COCO's rule, and what Detectron2's evaluator and heads have where a config does not say.
USUAL = 100


def max_detections(config: DictConfig) -> int | None:
    """How many detections of an image a config's model keeps and its evaluation counts, at most.

    None for a model of proposals, or if nothing limits them.
    """
    limits = [node.get(key, USUAL) for node, key in _limits(config)]
    if not limits or not _is_detector(config):
        return None
    return min((limit or USUAL for limit in limits if limit != -1), default=None)


def set_max_detections(config: DictConfig, count: int) -> None:
    """Keep and count so many detections of an image, in place.

    A generator that gives fewer proposals than that at test gives as many.

    Args:
        config: with ``model``; its ``tta`` and ``dataloader.evaluator`` may be absent.
        count: at least 1.

    Raises:
        ValueError: if the model is of proposals.
    """
    if not _is_detector(config):
        raise ValueError(
            "--max-detections is given, but the config is of proposals, of which as many are kept "
            "as model.proposal_generator.post_nms_topk says: leave it out."
        )
    for node, key in _limits(config):
        node[key] = count
    generator = OmegaConf.select(config, "model.proposal_generator")
    if OmegaConf.is_dict(generator) and OmegaConf.is_list(generator.get("post_nms_topk")):
        training, test = generator.post_nms_topk
        generator.post_nms_topk = [training, max(test, count)]


def _is_detector(config: DictConfig) -> bool:
    model = config.model
    return bool(model.get("roi_heads")) or "max_detections_per_image" in model


def _limits(config: DictConfig) -> list[tuple[DictConfig, str]]:
    """Every node that has such a limit, and its key there."""
    found: list[tuple[Any, str]] = []
    model = config.model
    if "max_detections_per_image" in model:
        found.append((model, "max_detections_per_image"))
    heads = model.get("roi_heads") or {}
    for key in ("box_predictor", "box_predictors"):
        nodes = _nodes(heads.get(key))
        found += [(node, "test_topk_per_image") for node in nodes]
    merge = OmegaConf.select(config, "tta.merge")
    if OmegaConf.is_dict(merge):
        found.append((merge, "topk"))
    for node in _nodes(OmegaConf.select(config, "dataloader.evaluator")):
        if _takes(node, "max_dets_per_image"):
            found.append((node, "max_dets_per_image"))
    return found


def _nodes(value: Any) -> list[DictConfig]:
    """One node, those of a list, or none."""
    return [x for x in (value if OmegaConf.is_list(value) else [value]) if OmegaConf.is_dict(x)]


def _takes(node: DictConfig, argument: str) -> bool:
    target = node.get("_target_")
    target = locate(target) if isinstance(target, str) else target
    return callable(target) and argument in inspect.signature(target).parameters
