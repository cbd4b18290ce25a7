"""What happens around a training step besides Detectron2's own hooks."""

from __future__ import annotations

import copy
import logging
import math
import os

import torch
from detectron2.engine import HookBase
from torch import nn

from ..checkpoint import Checkpointer
from ..checkpoint.tensor_file import read_tensor_file

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
