"""The original training of Faster R-CNN: RPN and Fast R-CNN in turn, in four steps.

Faster R-CNN, section 3.2, "4-Step Alternating Training". Each step is a run with a folder of its
own below the output folder, and a sequence that was stopped goes on with what is there:

* ``1_rpn``: the RPN, from the weights that the config starts from
* ``2_fast_rcnn``: Fast R-CNN on the proposals of step 1, from the same weights, with a backbone of
  its own
* ``3_rpn``: the RPN on the frozen backbone of step 2
* ``4_fast_rcnn``: the ROI heads of step 2, tuned on the proposals of step 3, the backbone frozen
* ``model_final.pth``, ``config.yaml``, ``evaluation_final.json``: one Faster R-CNN, of the RPN of
  step 3 and the ROI heads of step 4 on the backbone of step 2

The folder of an RPN also has its proposals, ``proposals_train_<dataset>.npz`` and
``proposals_test_<dataset>.npz``.

The paper says of steps 3 and 4 that the layers of RPN and of Fast R-CNN are fine-tuned. Here, as in
py-faster-rcnn, the RPN's own layers begin anew in step 3, for those of step 1 know another
backbone. The ROI heads go on from step 2 as a whole, of which py-faster-rcnn has the last two
layers begin anew.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from ..checkpoint.alternating import join_rpn_and_fast_rcnn
from ..config.alternating import (
    FAST_RCNN,
    RPN,
    fast_rcnn_config,
    proposing_config,
    require_faster_rcnn,
    rpn_config,
)
from .categories import dataset_names
from .dump_identity import digest, weights_sha256
from .evaluation import Results
from .processes import of_main_process
from .proposal_dump import dump_proposals
from .run_folder import hold_run_folder
from .run_once import (
    claim,
    evaluate_once,
    fingerprint,
    holds_other,
    mark_of,
    require_mark,
    results_of,
    train_once,
)
from .setup import check_train, prepare_run, require_registered, start_logging

logger = logging.getLogger(__name__)

_WEIGHTS = "model_final.pth"
FINAL = "Faster R-CNN"


@dataclass(frozen=True)
class Step:
    """One of the four steps.

    Args:
        title: what is trained, and on what.
        config: of its run.
        mark: fingerprint of its run, in which what it starts from and reads stands for itself,
            wherever it lies.
    """

    title: str
    config: DictConfig
    mark: str

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path(self.config.train.output_dir)

    @property
    def weights(self) -> Path:
        """What the run ends with."""
        return self.folder / _WEIGHTS


def train_alternating(
    config: DictConfig, overrides: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Results]:
    """Train a Faster R-CNN in four steps, or go on with that, and evaluate it.

    Call it in all processes of a run.

    Args:
        config: a training config of a Faster R-CNN, as :func:`~.setup.setup_config` gives it. Each
            step has its schedule, and its data, as far as ``overrides`` do not say otherwise.
        overrides: ``key=value`` of the steps of a kind, ``"rpn"`` or ``"fast_rcnn"``.

    Returns:
        The evaluation of each step and of the detector, by title; each is empty without test data
        and on other processes than the main one.

    Raises:
        ValueError: if the config is of another model, an override cannot be meant, or a folder
            holds a run with another config or other data, before anything is done.
        OSError, FloatingPointError: as :func:`~.train_loop.train`.
    """
    require_faster_rcnn(config)
    for part in _parts(config):
        require_registered(config, part)
    steps = plan(config, overrides or {})
    _, _, rpn, fast_rcnn = steps
    final = digest([fingerprint(_started_from(config, "")), rpn.mark, fast_rcnn.mark])
    folder = Path(config.train.output_dir)
    of_main_process(lambda: _require_marks(folder, final, steps))
    results = {}
    with hold_run_folder(folder):
        prepare_run(config)
        for number, step in enumerate(steps, start=1):
            start_logging(str(folder))
            logger.info("Step %d of %d: %s, in %s", number, len(steps), step.title, step.folder)
            title = f"Step {number}, {step.title}"
            results[title] = train_once(copy.deepcopy(step.config), step.mark)
            if step.config.model.get("roi_heads") is None:
                start_logging(str(folder))
                _dump(step)
        start_logging(str(folder))
        results[FINAL] = _join(config, final, rpn, fast_rcnn)
    return results


def plan(config: DictConfig, overrides: Mapping[str, Sequence[str]]) -> list[Step]:
    """The four steps of a Faster R-CNN.

    Args:
        config: of the Faster R-CNN, whose data are registered.
        overrides: as of :func:`train_alternating`.

    Raises:
        ValueError: if an override cannot be meant.
        OSError: if the weights to start from cannot be read.
    """
    start = config.train.init_checkpoint
    # The file may lie elsewhere another time.
    given = of_main_process(lambda: weights_sha256(start)) if start else ""

    first = _rpn(config, overrides, "1_rpn", "RPN", start, given)
    second = _fast_rcnn(config, overrides, "2_fast_rcnn", "Fast R-CNN", start, given, first)
    detector = str(second.weights)
    title = "RPN on the backbone of step 2"
    third = _rpn(config, overrides, "3_rpn", title, detector, second.mark, frozen=True)
    title = "Fast R-CNN on the same backbone"
    fourth = _fast_rcnn(
        config, overrides, "4_fast_rcnn", title, detector, second.mark, third, frozen=True
    )
    return [first, second, third, fourth]


def _rpn(
    config: DictConfig,
    overrides: Mapping[str, Sequence[str]],
    name: str,
    title: str,
    start: str,
    given: str,
    *,
    frozen: bool = False,
) -> Step:
    step = rpn_config(config, overrides.get(RPN, ()))
    _settle(step, config, name, start, frozen)
    return Step(title, step, fingerprint(_started_from(step, given)))


def _fast_rcnn(
    config: DictConfig,
    overrides: Mapping[str, Sequence[str]],
    name: str,
    title: str,
    start: str,
    given: str,
    proposer: Step,
    *,
    frozen: bool = False,
) -> Step:
    files = {part: list(_proposals(proposer, part).values()) for part in _parts(config)}
    step = fast_rcnn_config(config, files, overrides.get(FAST_RCNN, ()))
    _settle(step, config, name, start, frozen)
    marked = _started_from(step, given)
    for part in _parts(config):
        marked.dataloader[part].dataset.proposal_files = [proposer.mark]
    return Step(title, step, fingerprint(marked))


def _settle(step: DictConfig, config: DictConfig, name: str, start: str, frozen: bool) -> None:
    """What the sequence decides, whatever the overrides of the step say."""
    options = step.train
    options.output_dir = str(Path(config.train.output_dir, name))
    options.init_checkpoint = start
    options.best_checkpoint = None
    if frozen:
        options.frozen = sorted({"backbone", *(options.frozen or ())})
    check_train(options)


def _started_from(config: DictConfig, mark: str) -> DictConfig:
    """A config to take the fingerprint of, that starts from what has this one."""
    marked = copy.deepcopy(config)
    marked.train.init_checkpoint = mark
    return marked


def _require_marks(folder: Path, final: str, steps: Sequence[Step]) -> None:
    if not any(step.folder.exists() for step in steps):
        require_mark(folder, final)  # not of this command
    stale = [step.folder for step in steps if holds_other(step.folder, step.mark)]
    holder = stale[0] if stale else folder
    if holds_other(folder, final):
        stale += results_of(folder)
    if stale:
        # Each step starts from those before it: one that has changed changes all that follow.
        *others, last = [path.name for path in stale]
        names = f"{', '.join(others)} and {last}" if others else last
        raise ValueError(
            f"{holder} holds a run with another config or other data: give another --output-dir, "
            f"or remove {names} from {folder}: what follows a changed step begins anew."
        )


def _parts(config: DictConfig) -> tuple[str, ...]:
    """The parts of the data that are used."""
    return ("train",) if config.dataloader.get("evaluator") is None else ("train", "test")


def _proposals(step: Step, part: str) -> dict[str, str]:
    """Each dataset of a part with the file of its proposals by a step."""
    names = dataset_names(step.config, part)
    return {name: str(step.folder / f"proposals_{part}_{name}.npz") for name in names}


def _dump(step: Step) -> None:
    """Write the proposals of a finished step, unless they are there."""
    for part in _parts(step.config):
        for dataset, file in _proposals(step, part).items():
            if of_main_process(Path(file).is_file):
                logger.info("The proposals of %s are in %s already.", dataset, file)
                continue
            dump_proposals(
                proposing_config(step.config, part),
                str(step.weights),
                dataset,
                file,
                config_name=str(step.folder / "config.yaml"),
                device=step.config.train.device,
            )


def _join(config: DictConfig, mark: str, rpn: Step, fast_rcnn: Step) -> Results:
    folder = Path(config.train.output_dir)
    target = folder / _WEIGHTS

    def write() -> None:
        if mark_of(folder) != mark or not target.is_file():
            join_rpn_and_fast_rcnn(rpn.weights, fast_rcnn.weights, target)
            logger.info("RPN of %s and Fast R-CNN of %s: %s", rpn.folder, fast_rcnn.folder, target)

    of_main_process(write)
    if config.dataloader.get("evaluator") is None:
        claim(folder, mark)
        return {}
    return evaluate_once(copy.deepcopy(config), mark, str(target))
