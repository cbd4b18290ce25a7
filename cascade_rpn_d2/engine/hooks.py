"""What happens around a training step besides Detectron2's own hooks."""

from __future__ import annotations

import copy
import logging
import math
import os
from collections.abc import Callable, Collection
from typing import Any

import torch
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from torch import nn

from ..checkpoint import Checkpointer
from ..checkpoint.tensor_file import read_tensor_file
from ..config.suggest import alternatives, nearest
from . import stopping
from .activity import ANCHORS
from .processes import of_main_process

logger = logging.getLogger(__name__)

_BEST = "model_best"


class MovingAverage(HookBase):
    """Exponential moving average of a model's weights, updated after every step.

    Floating-point buffers, such as the statistics of norms, are averaged like the weights; other
    buffers are copied. While the average is younger than ``1 / (1 - decay)`` steps a smaller decay,
    (1 + t) / (10 + t) at iteration t, lets it forget the random weights of the start.

    Args:
        model: the module being trained, not wrapped for several processes.
        decay: weight of the old average, between 0 and 1.

    Attributes:
        model: the averaged model, in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._source = model
        self._decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    def restart(self) -> None:
        """Make the average equal to the model as it is."""
        self.model.load_state_dict(self._source.state_dict())

    def after_step(self) -> None:
        """Move the average towards the model."""
        iteration = self.trainer.iter
        self.update(min(self._decay, (1 + iteration) / (10 + iteration)))

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Set every average to ``decay * average + (1 - decay) * weight``."""
        averages = [*self.model.parameters(), *self.model.buffers()]
        sources = [*self._source.parameters(), *self._source.buffers()]
        pairs = list(zip(averages, sources, strict=True))
        smooth = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([a for a, _ in smooth], [s for _, s in smooth], 1 - decay)
        for average, source in pairs:
            if not average.is_floating_point():
                average.copy_(source)


class PeriodicCheckpointer(hooks.PeriodicCheckpointer):
    """Detectron2's, and a stop between two steps for who has sent a signal.

    It is there in all processes, and must come before the hook that evaluates.

    Args:
        checkpointer: writes the files, in the main process.
        flush: called before each of them, so that no line of metrics is younger than what a run is
            resumed from.
        period: iterations between two checkpoints.
        max_to_keep: how many of them stay; None for all.
    """

    def __init__(
        self,
        checkpointer: Checkpointer,
        flush: Callable[[], None],
        period: int,
        max_to_keep: int | None = None,
    ) -> None:
        super().__init__(checkpointer, period, max_to_keep=max_to_keep)
        self._flush = flush
        self._saved = -1

    def before_train(self) -> None:
        """Know what the run is resumed from."""
        super().before_train()
        self._saved = self.trainer.start_iter - 1

    def after_step(self) -> None:
        """Write a checkpoint if it is time to.

        Raises:
            Stopped: if a process of the run was told to stop, in all of them.
        """
        done = self.trainer.iter + 1
        if done % self.period == 0 or done >= self.trainer.max_iter:
            self._flush()
            if comm.is_main_process():  # which alone knows what it has written
                super().after_step()
            self._saved = self.trainer.iter
        if self.trainer.stop_agreed:
            raise stopping.stopped()

    def save_now(self) -> None:
        """Write a checkpoint of the last step, unless there is one. The metrics are written."""
        # After the last step the trainer is an iteration further.
        last = min(self.trainer.iter, self.trainer.max_iter - 1)
        if self._saved < last:
            self.checkpointer.save(f"{self.file_prefix}_{last:07d}", iteration=last)
            self._saved = last


class Evaluation(hooks.EvalHook):
    """Detectron2's, and the evaluation that a run missed which was ended before or during it.

    Args:
        period: iterations between two evaluations; 0 for one after the last iteration only.
        evaluate: returns a nested dict of metrics.
        is_missing: whether there are no results of an evaluation after that iteration.
        flush: called after each, in the main process.
    """

    def __init__(
        self,
        period: int,
        evaluate: Callable[[], dict[str, Any]],
        is_missing: Callable[[int], bool],
        flush: Callable[[], None],
    ) -> None:
        super().__init__(period, evaluate)
        self._is_missing = is_missing
        self._flush = flush

    def before_train(self) -> None:
        """Evaluate what a run is resumed from, if that has not been done."""
        trainer = self.trainer
        last = trainer.start_iter - 1
        if last < 0 or not self._period or (last + 1) % self._period:
            return
        if last + 1 >= trainer.max_iter:
            return  # it comes at the end
        if not of_main_process(lambda: self._is_missing(last)):
            return
        trainer.iter = trainer.storage.iter = last
        self._do_eval()
        trainer.iter = trainer.storage.iter = trainer.start_iter

    def _do_eval(self) -> None:
        super()._do_eval()
        self._flush()


def require_metric(metric: str, given: Collection[str] | None) -> None:
    """Check that there will be a metric to choose the best checkpoint by.

    Args:
        metric: ``train.best_checkpoint.metric``.
        given: what evaluations will give; None if that is not known before.

    Raises:
        ValueError: if it is none of them; names the nearest.
    """
    # Models say of themselves under "anchors/", and losses are metrics too.
    if given is None or metric in given or metric.startswith((f"{ANCHORS}/", "loss", "total_loss")):
        return
    near = nearest(metric, sorted(given)) or sorted(given, key=lambda name: ("-" in name, name))[:3]
    raise ValueError(
        f"train.best_checkpoint.metric is '{metric}', which the evaluation does not give: set it "
        f"to {alternatives(near)}, or train.best_checkpoint=null."
    )


class BestCheckpointer(HookBase):
    """Keeps the weights of the best evaluation so far as ``model_best.pth``.

    Unlike Detectron2's hook of this name it knows the best metric of a run that is resumed, which
    it stores beside the weights, because the last checkpoint may be from before that evaluation.
    Must come after the hook that evaluates.

    Args:
        checkpointer: writes the file; one that does not tag what it writes as the last checkpoint.
        period: iterations between two evaluations; 0 for one after the last iteration only.
        metric: task and name, such as ``"bbox/AP"``.
        mode: ``"max"`` or ``"min"``, whichever is best.
    """

    def __init__(self, checkpointer: Checkpointer, period: int, metric: str, mode: str) -> None:
        self._checkpointer = checkpointer
        self._period = period
        self._metric = metric
        self._sign = 1.0 if mode == "max" else -1.0
        self._best = -math.inf

    def before_train(self) -> None:
        """Recall the best metric of the run that is resumed."""
        path = os.path.join(self._checkpointer.save_dir, f"{_BEST}.pth")
        if self.trainer.start_iter > 0 and os.path.exists(path):
            content = read_tensor_file(path).content
            if isinstance(content, dict) and content.get("metric") == self._metric:
                self._best = self._sign * content["value"]
        if self.trainer.start_iter > 0 and self._metric in self.trainer.storage.latest():
            self._compare()  # the evaluation that a run missed which was ended during it

    def after_step(self) -> None:
        """Look at the metric where Detectron2's EvalHook has evaluated."""
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done < self.trainer.max_iter:
            self._compare()

    def after_train(self) -> None:
        """Look at the metric of the final evaluation."""
        self._compare()

    def _compare(self) -> None:
        value, iteration = self.trainer.storage.latest().get(self._metric, (math.nan, 0))
        if math.isnan(value):
            logger.warning("No best checkpoint is kept: %s has no value.", self._metric)
        elif self._sign * value > self._best:
            self._best = self._sign * value
            self._checkpointer.save(_BEST, iteration=iteration, metric=self._metric, value=value)
            logger.info("Best %s so far: %.2f", self._metric, value)
