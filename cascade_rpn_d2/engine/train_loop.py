"""A training run from a config: what is built, in which order, and how it is resumed."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
from pathlib import Path

import torch
from detectron2.config import instantiate
from detectron2.engine import HookBase, create_ddp_model, hooks
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, JSONWriter, TensorboardXWriter
from omegaconf import DictConfig
from torch import nn

from ..checkpoint import Checkpointer, write_atomically
from .categories import adopt_categories, class_layers, run_categories
from .evaluation import Results, evaluate, try_evaluation, warn_of_many_objects
from .hooks import BestCheckpointer, MovingAverage
from .proposal_data import check_proposals
from .setup import prepare_run, require_registered
from .trainer import Trainer, seed_everything

logger = logging.getLogger(__name__)


def train(config: DictConfig, *, resume: bool = False) -> Results:
    """Train, evaluate and write checkpoints as a config says.

    ``train.output_dir`` receives ``model_<iteration>.pth``, ``model_final.pth`` and
    ``model_best.pth``, ``metrics.json``, TensorBoard events, ``log.txt``, ``config.yaml`` and one
    ``evaluation_<iteration>.json`` an evaluation. A checkpoint holds ``model``, the weights to
    predict with, and ``trainer``; with ``train.ema`` the former are the averaged ones, and
    ``raw_model`` those that training goes on with.

    Args:
        config: with ``model, dataloader, optimizer, lr_multiplier, train``; its data loader is told
            seed and first batch.
        resume: go on from the last checkpoint of ``train.output_dir``, if there is one.

    Returns:
        The final evaluation, as of :func:`evaluate`.

    Raises:
        TrainingDiverged: if a loss becomes NaN or infinite.
        OSError: if a file cannot be read or written.
        ValueError: if a checkpoint is of another model, files of proposals do not fit the data, or
            the test data cannot be evaluated on.
    """
    require_registered(config, "train")
    if config.dataloader.get("evaluator") is not None:
        require_registered(config, "test")
    check_proposals(config, training=True)
    last = _last_checkpoint(config.train.output_dir) if resume else ""
    fresh = adopt_categories(config, last or config.train.init_checkpoint, resumed=bool(last))
    try_evaluation(config)
    prepare_run(config)
    warn_of_many_objects(config)
    options = config.train
    seed = comm.shared_random_seed() if options.seed is None else options.seed
    seed_everything(seed)
    model = instantiate(config.model).to(options.device)
    config.optimizer.params.model = model
    trainer = Trainer(
        model,
        instantiate(config.optimizer),
        seed=seed,
        amp_dtype=getattr(torch, options.amp.dtype) if options.amp.enabled else None,
        clip_grad_norm=options.clip_grad_norm,
        accumulate=options.accumulate,
        log_period=options.log_period,
    )
    average = MovingAverage(model, options.ema.decay) if options.ema.enabled else None
    checkpointer = _checkpointer(options.output_dir, trainer, average)
    checkpointer.extra = run_categories(config)
    resume = resume and _all_have_a_checkpoint(checkpointer)
    results: Results = {}

    def evaluate_now() -> Results:
        # A file of results is named like the checkpoint of its weights.
        index = "final" if trainer.iter >= options.max_iter else f"{trainer.iter:07d}"
        _take_buffers_of_main_process(checkpointer.model)
        results.clear()
        # What is found in the midst of a training is soon found better, and may be half a gigabyte.
        found = evaluate(
            config,
            checkpointer.model,
            name=f"evaluation_{index}",
            write_predictions=index == "final",
        )
        results.update(found)
        return results

    periodic = hooks.PeriodicCheckpointer(checkpointer, **options.checkpointer)
    trainer.register_hooks(
        [
            hooks.IterationTimer(),
            average,
            hooks.LRScheduler(scheduler=instantiate(config.lr_multiplier)),
            periodic if comm.is_main_process() else None,
            hooks.EvalHook(options.eval_period, evaluate_now),
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
    if start_iter >= options.max_iter:
        logger.warning("%d iterations are done: for more raise train.max_iter.", start_iter)
        trainer.iter = start_iter
        return evaluate_now()
    if options.seed not in (None, trainer.seed):
        logger.warning("The resumed run keeps its seed; train.seed=%d is not used.", options.seed)
    logger.info("Seed %d, first iteration %d", trainer.seed, start_iter)
    trainer.register_hooks([_writer(options, start_iter)])
    trainer.model = _distribute(model, options)
    config.dataloader.train.seed = trainer.seed
    config.dataloader.train.start_batch = start_iter * options.accumulate
    trainer.batches = instantiate(config.dataloader.train)
    try:
        trainer.train(start_iter, options.max_iter)
    except OSError as error:
        # Checkpoints say so themselves; metrics and logs pass on the bare words of the system.
        if error.errno == errno.ENOSPC and len(error.args) > 1:
            raise OSError(
                f"No space is left for {options.output_dir}: make room, then --resume from the "
                "last checkpoint."
            ) from error
        raise
    return results


def _checkpointer(folder: str, trainer: Trainer, average: MovingAverage | None) -> Checkpointer:
    if average is None:
        return Checkpointer(trainer.model, folder, trainer=trainer)
    return Checkpointer(average.model, folder, trainer=trainer, raw_model=trainer.model)


def _last_checkpoint(folder: str) -> str:
    """The file that a run is resumed from; empty if there is none."""
    files = Checkpointer(nn.Module(), folder)
    return files.get_checkpoint_file() if files.has_checkpoint() else ""


def _all_have_a_checkpoint(checkpointer: Checkpointer) -> bool:
    found = comm.all_gather(checkpointer.has_checkpoint())
    if any(found) and not all(found):
        raise OSError(
            f"Only some processes see the checkpoints in {checkpointer.save_dir}: give an output "
            "folder that all machines share."
        )
    return all(found)


def _best_checkpointer(config: DictConfig, checkpointer: Checkpointer) -> HookBase | None:
    options = config.train
    best = options.best_checkpoint
    if best is None or config.dataloader.get("evaluator") is None or not comm.is_main_process():
        return None
    # Weights alone, and never what a run is resumed from.
    weights = Checkpointer(checkpointer.model, options.output_dir, tag_last=False)
    weights.extra = checkpointer.extra
    return BestCheckpointer(weights, options.eval_period, best.metric, best.mode)


def _writer(options: DictConfig, start_iter: int) -> HookBase | None:
    if not comm.is_main_process():
        return None
    metrics = os.path.join(options.output_dir, "metrics.json")
    _keep_metrics_before(start_iter, metrics)
    writers = [
        CommonMetricPrinter(options.max_iter),
        # The values of the iteration itself, where a median over the last ones would depend on when
        # the run was resumed.
        JSONWriter(metrics, window_size=1),
        TensorboardXWriter(options.output_dir),
    ]
    return hooks.PeriodicWriter(writers, period=options.log_period)


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


def _keep_metrics_before(start_iter: int, path: str) -> None:
    """Drop the lines of iterations that will be repeated; set aside those of another run."""
    file = Path(path)
    if not file.exists():
        return
    if start_iter == 0:
        file.replace(file.with_name("metrics_of_previous_run.json"))
        return
    kept = [line for line in file.read_text().splitlines() if _iteration(line) < start_iter]
    content = "".join(f"{line}\n" for line in kept)
    write_atomically(path, lambda out: out.write(content.encode()))


def _iteration(line: str) -> float:
    try:
        return json.loads(line)["iteration"]
    except ValueError:  # a line that was being written when the run was killed
        return math.inf
