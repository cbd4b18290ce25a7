"""One training step: mixed precision, accumulated and clipped gradients, and a stop at a bad loss.

Everything random in a step is a function of (seed, rank, number of the batch), so a run that is
killed and resumed takes the steps it would have taken.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from detectron2.engine import TrainerBase
from detectron2.engine.hooks import PeriodicWriter
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from . import stopping
from .messages import mendable_message

logger = logging.getLogger(__name__)

Losses = Mapping[str, Tensor]
_STOP = "stop"
_SLOW_SECONDS = 5.0


class TrainingDiverged(FloatingPointError):
    """A loss or the proposals of a step are NaN or infinite; the step was not applied."""


class Trainer(TrainerBase):
    """Takes steps of an optimizer on the losses that a model returns for batches of data.

    ``batches`` must be set before :meth:`train`: an iterable without end of what ``model`` takes,
    that begins with batch ``start_iter * accumulate`` of the run.

    Args:
        model: returns a dict of scalar losses; may be replaced by its DistributedDataParallel.
        optimizer: of the parameters of ``model``.
        seed: of all that is random in the steps; a resumed run keeps the one it started with.
        amp_dtype: float16 or bfloat16 for mixed precision; gradients of float16 are scaled.
        clip_grad_norm: bound on the L2 norm of all gradients together; None does not clip.
        accumulate: number of batches whose gradients are averaged for one step.
        log_period: iterations between two readings of the gradients' norm, each of which makes the
            device wait.

    Attributes:
        stop_agreed: whether one of the processes had been told to stop when the last step began;
            all of them know it after the same step, see :mod:`.stopping`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        seed: int = 0,
        amp_dtype: torch.dtype | None = None,
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        log_period: int = 20,
    ) -> None:
        super().__init__()
        self.model = model.train()
        self.optimizer = optimizer
        self.seed = seed
        self.amp_dtype = amp_dtype
        self.clip_grad_norm = clip_grad_norm
        self.accumulate = accumulate
        self.log_period = log_period
        self.stop_agreed = False
        self._step_seconds = math.inf  # the first may be slow
        self.batches: Iterable[Any] = ()
        self._iterator: Iterator[Any] | None = None
        self._last_losses: dict[str, float] = {}
        self._grad_norm: _OnTheWay | None = None
        self.device = next(model.parameters()).device
        self.grad_scaler = torch.amp.GradScaler(
            self.device.type, enabled=amp_dtype == torch.float16
        )

    def run_step(self) -> None:
        """Forward and backward on each batch of the step, then, if all losses are finite, the step.

        Raises:
            TrainingDiverged: if a loss or a proposal is not finite; names the iteration.
        """
        begun = time.perf_counter()
        self._require_finite_gradients()
        with self._given_up_if_slow():
            arrived, data_time = self._gradients()
        self.stop_agreed = any([losses.pop(_STOP) > 0 for losses in arrived])
        values = self._finite_mean(arrived)
        self._last_losses = values
        grad_norm = self._apply_gradients()
        self._grad_norm = None if grad_norm is None else _OnTheWay({"gradient norm": grad_norm})
        self._write_metrics(values, data_time, grad_norm)
        self._step_seconds = time.perf_counter() - begun

    def _gradients(self) -> tuple[list[dict[str, float]], float]:
        """Forward and backward on each batch of a step: its losses, and the seconds that all took
        to arrive."""
        data_time = 0.0
        pending = []
        for part in range(self.accumulate):
            start = time.perf_counter()
            batch = self._next_batch()
            data_time += time.perf_counter() - start
            seed_everything(self.seed, comm.get_rank(), self.iter * self.accumulate + part)
            with self._gradient_exchange(part == self.accumulate - 1):
                losses = self._forward(batch)
                # One number more on a way that the losses go in any case.
                stop = torch.full((), float(bool(stopping.requested())), device=self.device)
                pending.append(_OnTheWay({**losses, _STOP: stop}))
                total = torch.stack([loss.float() for loss in losses.values()]).sum()
                self.grad_scaler.scale(total / self.accumulate).backward()
        return [losses.read() for losses in pending], data_time

    @contextlib.contextmanager
    def _given_up_if_slow(self) -> Iterator[None]:
        """Where one process takes slow steps, as with large images on a CPU, a signal ends one in
        the middle, as if it had not begun: a launcher would not wait for its end."""
        if comm.get_world_size() > 1 or self._step_seconds < _SLOW_SECONDS:
            yield
            return
        # The weights change after the block only.
        before = [buffer.clone() for buffer in self.model.buffers()]
        try:
            with stopping.immediate():
                yield
        except stopping.Stopped:
            for buffer, value in zip(self.model.buffers(), before, strict=True):
                buffer.copy_(value)
            self.iter -= 1
            raise

    def _next_batch(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self.batches)
        return next(self._iterator)

    def _forward(self, batch: Any) -> Losses:
        try:
            with torch.autocast(
                self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
            ):
                losses = self.model(batch)
        except FloatingPointError as error:
            # Detectron2's proposal selection looks at the boxes before there is a loss.
            last = self._last_losses
            before = f"; the losses before were {_terms(last)}" if last else ""
            raise self._diverged(str(error).rstrip(".") + before) from error
        if not losses:
            raise ValueError(
                f"{type(self.model).__name__} returned no losses in training: give a model that "
                "returns a dict of them."
            )
        return losses

    def _gradient_exchange(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Between processes gradients are averaged once a step, with those of the last batch."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return contextlib.nullcontext()

    def _finite_mean(self, batches: list[dict[str, float]]) -> dict[str, float]:
        for losses in batches:
            if not all(np.isfinite(list(losses.values()))):
                raise self._diverged(_terms(losses))
        return {name: sum(b[name] for b in batches) / len(batches) for name in batches[0]}

    def _require_finite_gradients(self) -> None:
        """Look at the gradients' norm of the step before, which has arrived without waiting.

        Finite losses may have gradients that are not, and have spoilt the weights by then; no
        checkpoint is written of such. The scaler of float16 leaves such steps out by itself.
        """
        if self._grad_norm is None or self.grad_scaler.is_enabled():
            return
        values = self._grad_norm.read()
        if not all(np.isfinite(list(values.values()))):
            raise TrainingDiverged(
                f"Training diverged at iteration {self.iter - 1} ({_terms(values)}, "
                f"{_terms(self._last_losses)}): the last checkpoint is kept; lower optimizer.lr or "
                "lengthen the warm-up, then --resume or start again."
            )

    def _diverged(self, what: str) -> TrainingDiverged:
        return TrainingDiverged(
            f"Training diverged at iteration {self.iter} ({what}): the step was not applied and "
            "the last checkpoint is kept; lower optimizer.lr, lengthen the warm-up or set "
            "train.clip_grad_norm, then --resume or start again."
        )

    def _apply_gradients(self) -> Tensor | None:
        grad_norm = None
        if self.clip_grad_norm is not None:
            self.grad_scaler.unscale_(self.optimizer)
            grad_norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_grad_norm)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
        self.optimizer.zero_grad()
        return grad_norm

    def _write_metrics(
        self, losses: dict[str, float], data_time: float, grad_norm: Tensor | None
    ) -> None:
        self.storage.put_scalar("data_time", data_time)
        self.storage.put_scalar("total_loss", sum(losses.values()))
        if len(losses) > 1:
            self.storage.put_scalars(**losses)
        if (self.iter + 1) % self.log_period == 0:
            if grad_norm is not None:
                self.storage.put_scalar("grad_norm", float(grad_norm))
            if self.grad_scaler.is_enabled():
                self.storage.put_scalar("grad_scale", self.grad_scaler.get_scale())

    def train(self, start_iter: int, max_iter: int) -> None:
        """Take the steps from ``start_iter`` to before ``max_iter``.

        Raises:
            TrainingDiverged: see :meth:`run_step`.
            Stopped: by a hook that looks at ``stop_agreed``.
        """
        log = logging.getLogger(TrainerBase.__module__)
        log.addFilter(_without_traceback)
        try:
            with stopping.deferred():
                super().train(start_iter, max_iter)
        finally:
            log.removeFilter(_without_traceback)

    def finish(self, done: int) -> None:
        """Have the hooks do what they do after the last step, of a run that takes no more.

        Args:
            done: how many steps the run has taken.

        Raises:
            Stopped: by a hook.
        """
        self.iter = self.start_iter = self.max_iter = done
        with EventStorage(done) as self.storage, stopping.deferred():
            self.before_train()
            self.after_train()

    def after_train(self) -> None:
        """Let the hooks finish; those of a run that failed only write out the metrics they have.

        Otherwise an evaluation after a failure in the last iteration could declare its weights the
        best.
        """
        if self.iter >= self.max_iter:
            super().after_train()
            return
        for hook in self._hooks:
            if isinstance(hook, PeriodicWriter):
                try:
                    hook.after_train()
                except Exception as error:  # must not hide why the run failed
                    logger.warning("The last metrics could not be written (%s).", error)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs besides the weights."""
        return super().state_dict() | {
            "optimizer": self.optimizer.state_dict(),
            "grad_scaler": self.grad_scaler.state_dict(),
            "seed": self.seed,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over momentum, iteration and seed; learning rate and its kin stay as configured."""
        super().load_state_dict(state_dict)
        configured = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(state_dict["optimizer"])
        for group, options in zip(self.optimizer.param_groups, configured, strict=True):
            group.update(options, initial_lr=options["lr"])
        # A run without float16 has no scale to hand on.
        if self.grad_scaler.is_enabled() and state_dict["grad_scaler"]:
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
        self.seed = state_dict["seed"]


class _OnTheWay:
    """Losses that travel to the host, averaged over the processes, while the device works on.

    Reading them waits for the forward pass alone: by then the backward pass is queued behind it,
    and the device has work to do while the host decides whether to take the step. All processes
    read the same values and hence decide alike.
    """

    def __init__(self, losses: Losses) -> None:
        self._names = list(losses)
        values = torch.stack([loss.detach().float() for loss in losses.values()])
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(values)
            values /= comm.get_world_size()
        self._values = values.to("cpu", non_blocking=True)
        self._arrival = torch.cuda.Event() if values.is_cuda else None
        if self._arrival is not None:
            self._arrival.record()

    def read(self) -> dict[str, float]:
        if self._arrival is not None:
            self._arrival.synchronize()
        return dict(zip(self._names, self._values.tolist(), strict=True))


def _terms(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:.6g}" for name, value in losses.items())


def _without_traceback(record: logging.LogRecord) -> bool:
    """Have Detectron2 log a failure that explains itself as one sentence."""
    error = record.exc_info[1] if record.exc_info else None
    message = mendable_message(error) if error else None
    if message is not None:
        record.msg, record.args, record.exc_info = message, (), None
    return True


def seed_everything(seed: int, *counters: int) -> None:
    """Set the random states of Python, NumPy and torch to a function of the arguments.

    Args:
        seed: not negative.
        counters: not negative; other counters give independent states.
    """
    words = np.random.SeedSequence([seed, *counters]).generate_state(2)
    random.seed(int(words[0]))
    np.random.seed(words[0])
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
