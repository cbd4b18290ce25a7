"""The step schedule of the papers, whose warm-up keeps its length when the run changes its own."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler


def step_schedule(
    max_iter: int,
    *,
    milestones: Sequence[int],
    length: int,
    gamma: float = 0.1,
    warmup_iters: int = 500,
    warmup_factor: float = 0.001,
) -> WarmupParamScheduler:
    """Factor of the learning rate: a linear warm-up, then steps down.

    The steps scale with the run: those of a run of ``length`` iterations are given, and any other
    run takes them at the same fraction of its way. The warm-up is in iterations, whatever the run.

    Args:
        max_iter: iterations of the run.
        milestones: the iterations after which the factor is multiplied by ``gamma``, in a run of
            ``length`` iterations.
        length: iterations of the run that ``milestones`` are of.
        gamma: factor of one step.
        warmup_iters: iterations of the warm-up, which ends at the first step at the latest.
        warmup_factor: the factor at iteration 0.

    Raises:
        ValueError: if the milestones do not rise from above 0 to below ``length``.
    """
    steps = list(milestones)
    if steps != sorted(set(steps)) or not all(0 < step < length for step in steps):
        raise ValueError(
            f"lr_multiplier.milestones are {steps}: give rising iterations between 0 and "
            f"lr_multiplier.length, which is {length}."
        )
    decay = MultiStepParamScheduler(
        values=[gamma**i for i in range(len(steps) + 1)], milestones=steps, num_updates=length
    )
    # Just before the first step, because the warm-up rises to the factor that follows it.
    latest = (steps[0] - 0.5) / length if steps else 1.0
    return WarmupParamScheduler(
        decay,
        warmup_factor=warmup_factor,
        warmup_length=min(warmup_iters / max_iter, latest),
    )
