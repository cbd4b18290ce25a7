"""A training run from a config: what is built, in which order, and how it is resumed."""

from __future__ import annotations

import copy
import errno
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from detectron2.engine import HookBase, create_ddp_model, hooks
from detectron2.utils import comm
from fvcore.common.param_scheduler import ParamScheduler
from omegaconf import DictConfig
from torch import nn

from ..checkpoint import Checkpointer
from ..config.build import build_part
from ..config.files import save_config
from ..modeling import freeze_parts
from . import stopping
from .categories import adopt_categories, class_layers, run_categories
from .early_log import write_to_files
from .evaluation import Results, evaluate, warn_of_many_objects
from .evaluators import try_evaluation
from .hooks import (
    BestCheckpointer,
    Evaluation,
    MovingAverage,
    PeriodicCheckpointer,
    require_metric,
)
from .launch import await_main_process, under_torchrun
from .metrics import MetricsWriter, keep_metrics_before
from .processes import of_main_process
from .proposal_data import check_proposals
from .run_folder import checkpoint_seen_by_all, hold_run_folder, set_aside, tell_set_aside
from .setup import log_run, require_registered
from .trainer import Trainer, seed_everything

logger = logging.getLogger(__name__)

# A launcher that is told to stop kills its processes after 30.
_SECONDS_TO_SAVE = 20.0


def train(config: DictConfig, *, resume: bool | None = False) -> Results:
    """Train, evaluate and write checkpoints as a config says.

    ``train.output_dir`` receives ``model_<iteration>.pth``, ``model_final.pth`` and
    ``model_best.pth``, ``metrics.json``, TensorBoard events, ``log.txt``, ``config.yaml`` and one
    ``evaluation_<iteration>.json`` an evaluation. A checkpoint holds ``model``, the weights to
    predict with, and ``trainer``; with ``train.ema`` the former are the averaged ones, and
    ``raw_model`` those that training goes on with.

    No other process may train there meanwhile. What an earlier run left there is moved aside,
    unless this one resumes it. Ctrl-C, SIGTERM and SIGUSR1 stop the training between two steps.

    Args:
        config: with ``model, dataloader, optimizer, lr_multiplier, train``; its data loader is told
            seed and first batch.
        resume: go on from the last checkpoint of ``train.output_dir``; if there is none that is
            warned of. None: the same without the warning, for who begins and goes on alike.

    Returns:
        The final evaluation, as of :func:`evaluate`.

    Raises:
        TrainingDiverged: if a loss becomes NaN or infinite.
        OSError: if a file cannot be read or written, or another process trains into the folder.
        ValueError: if a checkpoint is of another model, files of proposals do not fit the data, or
            the test data cannot be evaluated on or do not give the metric of the best checkpoint.
        Stopped: if a signal ended it, after a checkpoint.
    """
    require_registered(config, "train")
    if config.dataloader.get("evaluator") is not None:
        require_registered(config, "test")
    check_proposals(config, training=True)
    folder = config.train.output_dir
    again = resume is not False
    last = _last_checkpoint(folder) if again else ""
    fresh = adopt_categories(config, last or config.train.init_checkpoint, resumed=bool(last))
    metrics = try_evaluation(config)
    if config.train.best_checkpoint is not None:
        require_metric(config.train.best_checkpoint.metric, metrics)
    stated = copy.deepcopy(config)
    heeded = stopping.heeded()
    with stopping.stop_on_signals(forwarded=under_torchrun()), hold_run_folder(folder):
        found = again and checkpoint_seen_by_all(folder)

        def begin() -> None:
            moved = {} if found else of_main_process(lambda: set_aside(folder))
            stated.train.init_checkpoint = _moved(stated.train.init_checkpoint, moved)
            if comm.is_main_process():
                save_config(stated, os.path.join(folder, "config.yaml"))
            if not found:
                tell_set_aside(folder, moved, resume=resume)

        log_run(config)
        warn_of_many_objects(config)
        try:
            return _train(config, found, fresh, begin)
        except _StoppedInTraining as stop:
            raise _stopped(config, stop.done, again=again, heeded=heeded) from None


class _StoppedInTraining(Exception):
    """A run has stopped in good order, with that many iterations in its folder."""

    def __init__(self, done: int) -> None:
        super().__init__(done)
        self.done = done


def _train(config: DictConfig, resume: bool, fresh: bool, begin: Callable[[], None]) -> Results:
    """:func:`train`, in a folder that is this run's.

    Args:
        config: of the run.
        resume: whether there is a checkpoint to go on from.
        fresh: whether the layers of the classes start anew.
        begin: makes the folder ready, once nothing of what is read for the run has failed.
    """
    options = config.train
    seed = comm.shared_random_seed() if options.seed is None else options.seed
    seed_everything(seed)
    model = build_part(config.model, "model", nn.Module).to(options.device)
    freeze_parts(model, options.frozen or ())
    config.optimizer.params.model = model
    trainer = Trainer(
        model,
        build_part(config.optimizer, "optimizer", torch.optim.Optimizer),
        seed=seed,
        amp_dtype=getattr(torch, options.amp.dtype) if options.amp.enabled else None,
        clip_grad_norm=options.clip_grad_norm,
        accumulate=options.accumulate,
        log_period=options.log_period,
    )
    average = MovingAverage(model, options.ema.decay) if options.ema.enabled else None
    checkpointer = _checkpointer(options.output_dir, trainer, average)
    checkpointer.extra = run_categories(config)
    results: Results = {}

    def evaluate_now() -> Results:
        # A file of results is named like the checkpoint of its weights.
        name = _evaluation_of(trainer.iter, options)
        with stopping.immediate():
            _take_buffers_of_main_process(checkpointer.model)
            results.clear()
            # What is found in the midst of a training is soon found better, and may be half a
            # gigabyte.
            final = trainer.iter >= options.max_iter
            found = evaluate(config, checkpointer.model, name=name, write_predictions=final)
            results.update(found)
        return results

    def is_missing(iteration: int) -> bool:
        name = _evaluation_of(iteration, options)
        return not Path(options.output_dir, f"{name}.json").exists()

    def flush() -> None:
        for writer in writers:
            writer.flush()

    writers: list[MetricsWriter] = []
    periodic = PeriodicCheckpointer(checkpointer, flush, **options.checkpointer)
    trainer.register_hooks(
        [
            hooks.IterationTimer(),
            average,
            hooks.LRScheduler(
                scheduler=build_part(config.lr_multiplier, "lr_multiplier", ParamScheduler)
            ),
            periodic,
            Evaluation(options.eval_period, evaluate_now, is_missing, flush),
            _best_checkpointer(config, checkpointer),
        ]
    )
    if resume:
        if "raw_model" in checkpointer.resume():
            raise ValueError(
                f"The run in {options.output_dir} averages its weights: resume it with "
                "train.ema.enabled=true."
            )
        start_iter = trainer.iter + 1
        periodic.recent_checkpoints = _numbered_checkpoints(options.output_dir)
    else:
        layers = class_layers(config, model) if fresh else {}
        Checkpointer(model).load(options.init_checkpoint, strict=False)
        model.load_state_dict(layers, strict=False)
        if average is not None:
            average.restart()
        start_iter = 0
    done = start_iter >= options.max_iter
    config.dataloader.train.seed = trainer.seed
    config.dataloader.train.start_batch = start_iter * options.accumulate
    if not done:
        trainer.batches = build_part(config.dataloader.train, "dataloader.train", Iterable)
    begin()
    if options.seed not in (None, trainer.seed):
        logger.warning("The resumed run keeps its seed; train.seed=%d is not used.", options.seed)
    if done:
        logger.warning("%d iterations are done: for more raise train.max_iter.", start_iter)
    else:
        logger.info("Seed %d, first iteration %d", trainer.seed, start_iter)
    if comm.is_main_process():
        keep_metrics_before(options.output_dir, start_iter)
        writers += [MetricsWriter(options.output_dir, options.max_iter, options.log_period)]
    trainer.register_hooks(writers)
    try:
        if done:
            trainer.finish(start_iter)
        else:
            trainer.model = _distribute(model, options)
            trainer.train(start_iter, options.max_iter)
    except stopping.Stopped:
        raise _StoppedInTraining(_save(trainer, periodic)) from None
    except OSError as error:
        # Checkpoints say so themselves; metrics and logs pass on the bare words of the system.
        if error.errno == errno.ENOSPC and len(error.args) > 1:
            raise OSError(
                f"No space is left for {options.output_dir}: make room, then --resume from the "
                "last checkpoint."
            ) from error
        raise
    return results


def _save(trainer: Trainer, periodic: PeriodicCheckpointer) -> int:
    """Write a checkpoint, without asking the other processes for anything, as they may have been
    stopped in an evaluation; they wait for it. Returns how many iterations are done."""
    with stopping.deferred():
        if comm.is_main_process():
            periodic.save_now()
        await_main_process(_SECONDS_TO_SAVE)
    return min(trainer.iter + 1, trainer.max_iter)


def _stopped(config: DictConfig, done: int, *, again: bool, heeded: bool) -> stopping.Stopped:
    """Log what was stopped, and return what to raise.

    Args:
        config: of the run.
        done: how many iterations are.
        again: whether the command to go on is the same as this one.
        heeded: whether whoever catches what is raised shows it.
    """
    folder, last = config.train.output_dir, config.train.max_iter
    command = "give the same command again" + (" with --resume" if done and not again else "")
    if done < last:
        what = f"after {done} of {last} iterations, which are in {folder}"
        what = f"{what if done else 'before the first iteration was done'}: {command} to go on"
    else:
        what = f"after the last of {last} iterations, which are in {folder}"
        if config.dataloader.get("evaluator") is not None:
            what += f", but before the end of the evaluation: {command} for that"
    stop = stopping.stopped(f" {what}.")
    text = f"The training was {stop.message}"
    if heeded:
        write_to_files(logger.makeRecord(logger.name, logging.WARNING, "", 0, text, (), None))
    else:
        logger.warning(text)
    return stop


def _moved(weights: str, moved: dict[Path, Path]) -> str:
    """Where the weights to start from are, if those are of the run that was moved aside."""
    name, mark, query = weights.partition("?")
    for file, target in moved.items():
        if name and os.path.realpath(name) == os.path.realpath(file):
            return f"{target}{mark}{query}"
    return weights


def _evaluation_of(iteration: int, options: DictConfig) -> str:
    """How the results after an iteration are called: like the checkpoint of the weights."""
    return f"evaluation_{'final' if iteration >= options.max_iter else f'{iteration:07d}'}"


def _checkpointer(folder: str, trainer: Trainer, average: MovingAverage | None) -> Checkpointer:
    if average is None:
        return Checkpointer(trainer.model, folder, trainer=trainer)
    return Checkpointer(average.model, folder, trainer=trainer, raw_model=trainer.model)


def _last_checkpoint(folder: str) -> str:
    """The file that a run is resumed from; empty if there is none."""
    files = Checkpointer(nn.Module(), folder)
    return files.get_checkpoint_file() if files.has_checkpoint() else ""


def _best_checkpointer(config: DictConfig, checkpointer: Checkpointer) -> HookBase | None:
    options = config.train
    best = options.best_checkpoint
    if best is None or config.dataloader.get("evaluator") is None or not comm.is_main_process():
        return None
    # Weights alone, and never what a run is resumed from.
    weights = Checkpointer(checkpointer.model, options.output_dir, tag_last=False)
    weights.extra = checkpointer.extra
    return BestCheckpointer(weights, options.eval_period, best.metric, best.mode)


def _distribute(model: nn.Module, options: DictConfig) -> nn.Module:
    # On CPUs a process has no device of its own.
    device_ids = [comm.get_local_rank()] if next(model.parameters()).is_cuda else None
    return create_ddp_model(model, device_ids=device_ids, **options.ddp)


def _take_buffers_of_main_process(model: nn.Module) -> None:
    """Each process has statistics of its own batches; checkpoints have those of the main one."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _numbered_checkpoints(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).glob("model_[0-9]*.pth"))
