"""From the config of a Faster R-CNN to those of the steps of its alternating training.

Faster R-CNN, section 3.2, "4-Step Alternating Training": an RPN alone, a Fast R-CNN alone on files
of its proposals, and both once more on the second one's backbone, which is frozen then.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence

from detectron2.config import LazyCall as L
from detectron2.modeling import ProposalNetwork
from omegaconf import DictConfig, OmegaConf

from ..modeling import OriginalSizeProposalNetwork
from ..modeling.proposal_generator.base import DenseProposalGenerator
from .files import get_config
from .lazy import is_of
from .names import find_name
from .overrides import apply_overrides

RPN, FAST_RCNN = "rpn", "fast_rcnn"
KINDS = (RPN, FAST_RCNN)


def split_overrides(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Tell overrides of all steps from those of one kind of step.

    Args:
        words: ``key=value``; of those whose key begins with ``rpn.`` or ``fast_rcnn.`` the rest is
            a key of the steps of that kind, such as ``rpn.train.max_iter=80000``.

    Returns:
        The overrides of all steps, and those of each kind.

    Raises:
        ValueError: if a kind is written in another way, or as the folder of a step.
    """
    common: list[str] = []
    own: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for word in words:
        bare = word.lstrip("+")
        kind, _, rest = bare.partition(".")
        if kind in KINDS and "=" not in kind:
            own[kind].append(word[: len(word) - len(bare)] + rest)
        elif rest and "=" not in kind and _letters(kind) in map(_letters, KINDS):
            raise ValueError(
                f"'{word}': give rpn.key=value for steps 1 and 3, fast_rcnn.key=value for steps 2 "
                "and 4."
            )
        else:
            common.append(word)
    return common, own


def require_faster_rcnn(config: DictConfig) -> None:
    """Check that a config is of a Faster R-CNN that can be trained in steps.

    Raises:
        ValueError: if it is not; says what to give.
    """
    model = config.model
    absent = [key for key in ("backbone", "proposal_generator", "roi_heads") if not model.get(key)]
    if absent:
        raise ValueError(
            f"The config has no model.{absent[0]}, and alternating training takes a Faster R-CNN: "
            "give a config such as faster_rcnn/faster_rcnn_vgg16.py or demo/faster_rcnn.py."
        )
    for part in ("train", "test"):
        if OmegaConf.select(config, f"dataloader.{part}.dataset.names") is None:
            raise ValueError(
                f"The config has no dataloader.{part}.dataset.names, whose images the RPN is to "
                "propose for: write the loader as common/data/coco_detection.py does."
            )


def rpn_config(config: DictConfig, overrides: Sequence[str] = ()) -> DictConfig:
    """The RPN of a Faster R-CNN alone, evaluated by its average recall.

    Args:
        config: of the Faster R-CNN, which is not changed.
        overrides: ``key=value`` of the step.

    Raises:
        ValueError: as :func:`~.overrides.apply_overrides`, with the kind of step.
    """
    step = _step(config)
    model = step.model
    parts = ("backbone", "proposal_generator", "pixel_mean", "pixel_std")
    known = is_of(model, "OriginalSizeRCNN")
    network = OriginalSizeProposalNetwork if known else ProposalNetwork
    step.model = L(network)(**{key: model[key] for key in parts})
    if _is_of_ours(step.model.proposal_generator):
        step.model.proposal_generator.propose_in_training = False  # for nobody
    if step.dataloader.get("evaluator") is not None:
        step.dataloader.evaluator = get_config("common/data/coco.py").dataloader.evaluator
    return _change(step, RPN, overrides)


def fast_rcnn_config(
    config: DictConfig, files: Mapping[str, Sequence[str]], overrides: Sequence[str] = ()
) -> DictConfig:
    """The ROI heads of a Faster R-CNN on their backbone, reading proposals from files.

    They read as many of an image as the proposal generator would give them.

    Args:
        config: of the Faster R-CNN, which is not changed.
        files: of ``"train"`` and ``"test"``, one for each dataset; a part that is not read may be
            absent.
        overrides: ``key=value`` of the step.

    Raises:
        ValueError: as :func:`~.overrides.apply_overrides`, with the kind of step.
    """
    step = _step(config)
    step.model.proposal_generator = None
    topk = config.model.proposal_generator.post_nms_topk
    zoo = get_config("common/data/coco_proposals.py").dataloader
    for part, most in zip(("train", "test"), topk, strict=True):
        loader, dataset = step.dataloader[part], zoo[part].dataset
        for key in ("names", "filter_empty"):
            if key in loader.dataset:
                dataset[key] = loader.dataset[key]
        dataset.proposal_files = list(files[part]) if part in files else None
        loader.mapper.precomputed_proposal_topk = most
        loader.dataset = dataset
    return _change(step, FAST_RCNN, overrides)


def proposing_config(config: DictConfig, part: str) -> DictConfig:
    """The RPN as it proposes for the images of ``"train"`` or of ``"test"``.

    Fast R-CNN trains on more proposals of an image than it is tested on (2000 and 300, section
    3.3), and a generator gives the latter number when it does not train.

    Args:
        config: of :func:`rpn_config`, which is not changed.
        part: which images.
    """
    config = copy.deepcopy(config)
    if part == "train":
        generator = config.model.proposal_generator
        for key in ("pre_nms_topk", "post_nms_topk"):
            generator[key] = [generator[key][0]] * 2
    return config


def _is_of_ours(generator: DictConfig) -> bool:
    target = generator.get("_target_")
    target = find_name(target) if isinstance(target, str) else target
    return isinstance(target, type) and issubclass(target, DenseProposalGenerator)


def _letters(kind: str) -> str:
    return re.sub("[^a-z]", "", kind.lower())


def _change(step: DictConfig, kind: str, overrides: Sequence[str]) -> DictConfig:
    try:
        return apply_overrides(step, overrides, prefix=f"{kind}.")
    except ValueError as error:
        raise ValueError(f"Behind '{kind}.': {error}") from error


def _step(config: DictConfig) -> DictConfig:
    step = copy.deepcopy(config)
    # The steps hand on what they end with, whatever the best evaluation was.
    step.train.best_checkpoint = None
    step.pop("tta", None)
    return step
