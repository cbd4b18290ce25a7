"""What happens around a training step besides Detectron2's own hooks."""

from __future__ import annotations

import copy
from typing import Any

import torch
from detectron2.engine import HookBase, hooks
from torch import nn


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


class BestCheckpointer(hooks.BestCheckpointer):
    """Detectron2's hook, which here remembers the best metric when a run is resumed."""

    def state_dict(self) -> dict[str, Any]:
        """The best metric so far and its iteration."""
        return {"best_metric": self.best_metric, "best_iter": self.best_iter}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best metric of the run that is resumed."""
        self.best_metric = state_dict["best_metric"]
        self.best_iter = state_dict["best_iter"]
