"""From a name, overrides and folders of data to a config that is ready to run."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig, OmegaConf

from ..config.build import build_part
from ..config.files import save_config
from ..config.max_detections import set_max_detections
from ..data import find_dataset, num_classes
from ..data.categories import classes_of_dataset, dataset_with_classes
from ..files.untrusted import shown
from ..model_zoo import apply_overrides, find_weights, get_config
from .categories import Categories, class_counts, dataset_names
from .early_log import keep_records, write_kept_records
from .image_options import check_image_files, require_reading_mapper
from .labelled_images import load_records
from .proposal_data import use_proposals
from .recorded_data import record_data, register_recorded
from .run_folder import make_output_folder
from .tta import use_default_tta

logger = logging.getLogger(__name__)

_PARTS = ("model", "dataloader", "optimizer", "lr_multiplier", "train")
# Where a detector says how many classes it has.
_COUNTS = (
    "model.num_classes",
    "model.roi_heads.num_classes",
    "model.roi_heads.box_predictor.num_classes",
)
_LOGGERS = ("detectron2", "fvcore", "cascade_rpn_d2")


def setup_config(
    config_file: str,
    overrides: Sequence[str] = (),
    *,
    weights: str | None = None,
    train_data: str | None = None,
    test_data: str | None = None,
    train_proposals: str | None = None,
    test_proposals: str | None = None,
    output_dir: str | None = None,
    device: str | None = None,
    tta: bool = False,
    max_detections: int | None = None,
    adapt: Callable[[DictConfig], None] | None = None,
    check_images: Sequence[str] = ("train", "test"),
) -> DictConfig:
    """Load a config and change it as a command line says.

    Args:
        config_file: name in the model zoo, or path of a LazyConfig file.
        overrides: ``key=value`` of existing keys, ``+key=value`` of new ones; they come last.
        weights: file or URL, replaces ``train.init_checkpoint``.
        train_data: what to train on: a registered dataset, or ``images_dir:annotations.json`` in
            COCO format.
        test_data: the same, to evaluate on. See :func:`use_data` for one without the other.
        train_proposals: file of the proposals to train Fast R-CNN and its like on.
        test_proposals: the same, to evaluate on.
        output_dir: replaces ``train.output_dir``.
        device: replaces ``train.device``.
        tta: for an evaluation with test-time augmentation: a config without ``tta`` gets that of
            ``common/tta.py``.
        max_detections: how many detections of an image are kept and count, see
            :func:`~..config.max_detections.set_max_detections`.
        adapt: changes the config in place before anything else does.
        check_images: of which data to look at all images, ``"train"`` and ``"test"``, see
            :func:`.image_options.check_image_files`.

    Raises:
        ValueError: if there is no such config, key or value; suggests what may have been meant.
        OSError: if there is no such data.
    """
    config = get_config(config_file)
    absent = [part for part in _PARTS if part not in config]
    if absent:
        raise ValueError(
            f"{config_file} does not define {', '.join(absent)}: a training config has "
            f"{', '.join(_PARTS)}."
        )
    _require_form(config, config_file)
    # A config of Detectron2's own says less of its training than is read here.
    defaults = get_config("common/train.py").train
    defaults.best_checkpoint = None
    nested = [key for key, value in defaults.items() if OmegaConf.is_dict(value)]
    config.train = OmegaConf.merge(defaults, config.train)
    for key in nested:
        _require_keys(config, f"train.{key}", config_file)
    if adapt is not None:
        adapt(config)
    if output_dir is not None:
        config.train.output_dir = output_dir
    if device is not None:
        config.train.device = device
    if weights is not None:
        config.train.init_checkpoint = find_weights(config_file, weights)
    if tta:
        use_default_tta(config)
    if max_detections is not None:
        set_max_detections(config, max_detections)
    use_data(config, train_data, test_data)
    use_proposals(config, "train", train_proposals, other_data=train_data is not None)
    use_proposals(config, "test", test_proposals, other_data=test_data is not None)
    apply_overrides(config, overrides)
    check_train(config.train)
    require_reading_mapper(config)
    check_image_files(config, check_images)
    return config


def _require_form(config: DictConfig, config_file: str) -> None:
    """Refuse a config in which something else is where its keys have to be."""
    for key in (*_PARTS, "optimizer.params"):
        _require_keys(config, key, config_file)
    for part in ("train", "test"):
        if config.dataloader.get(part) is not None:
            _require_keys(config, f"dataloader.{part}", config_file)
            if "dataset" in config.dataloader[part]:
                _require_keys(config, f"dataloader.{part}.dataset", config_file)


def _require_keys(config: DictConfig, key: str, config_file: str) -> None:
    value = OmegaConf.select(config, key)
    if not OmegaConf.is_dict(value):
        raise ValueError(
            f"{config_file} has {shown(repr(value), 40)} as its {key}: it must have keys there, as "
            "a config of the zoo has."
        )


def use_data(config: DictConfig, train_data: str | None, test_data: str | None) -> None:
    """Put other data in the place of a config's datasets, and count their classes.

    With ``train_data`` alone there is nothing left to evaluate on that has the same classes, so the
    run does not evaluate. With ``test_data`` alone only the evaluation changes.

    Args:
        config: changed in place.
        train_data: a registered dataset, or ``images_dir:annotations.json`` in COCO format.
        test_data: the same.

    Raises:
        OSError, ValueError: if the data cannot be read, or if a detector's classes have other names
            in the two, or in ``test_data`` alone and the config. Their order and ids may differ.
    """
    train_name = find_dataset(train_data) if train_data else None
    if train_name:
        _require_objects(train_name)
    test_name = find_dataset(test_data) if test_data else None
    if test_name:
        load_records(test_name, ahead=True)  # not there: a run would find out at its end
    counted = class_counts(config)
    categories = Categories.from_config(config)  # before the data that tell them are replaced
    if train_data and train_name:
        categories = Categories.from_dataset(train_name)
        config.dataloader.train.dataset.names = train_name
        config.train.categories = categories.stated()
        for node in counted:
            node.num_classes = num_classes(train_name)
        record_data(config, train_name, train_data)
    if test_data and test_name:
        if counted and categories.names:
            test_name = dataset_with_classes(test_name, categories.names, "--test-data")
        config.dataloader.test.dataset.names = test_name
        record_data(config, test_name, test_data)
        if not MetadataCatalog.get(test_name).get("has_annotations", True):
            logger.warning(
                "--test-data has no annotations: there is nothing to measure, and what is found is "
                "written at the end."
            )
            config.train.best_checkpoint = None
    elif train_name:
        logger.warning("No --test-data is given with --train-data: the run does not evaluate.")
        config.dataloader.evaluator = None  # the test mapper still tells how to predict
        config.train.best_checkpoint = None


def require_registered(config: DictConfig, part: str) -> None:
    """Check that the datasets of ``dataloader.train`` or ``dataloader.test`` are known and have as
    many classes as a detector counts, that what reads them can be built, and register those that
    the config records.

    Raises:
        ValueError: names one that is not known, or says why what is recorded cannot be used, which
            key counts other classes, or why the mapper cannot be built.
    """
    if part == "train":
        _require_keys(config, "dataloader.train", "The config")
    register_recorded(config, part)
    mapper = OmegaConf.select(config, f"dataloader.{part}.mapper")
    if mapper is not None:
        build_part(mapper, f"dataloader.{part}.mapper", Callable)
    for name in dataset_names(config, part):
        if name not in DatasetCatalog.list():
            raise ValueError(
                f"No dataset is registered as '{name}', as dataloader.{part} of the config has it: "
                f"give --{part}-data images_dir:annotations.json, or the name of one that is."
            )
        _require_classes(config, part, name)


def _require_classes(config: DictConfig, part: str, name: str) -> None:
    """Check that a detector counts the classes of a dataset, as its run would find out last."""
    classes = classes_of_dataset(name)
    for key in _COUNTS:
        value = OmegaConf.select(config, key)
        if classes and _is_int(value) and value != len(classes):
            advice = {
                "train": "leave it out with --train-data, which counts them, or give other data.",
                "test": "give the data it was trained on as --train-data too, or data with its "
                "classes.",
            }
            raise ValueError(
                f"{key} is {value} but the {part} data have {len(classes)} classes: {advice[part]}"
            )


def check_train(options: DictConfig) -> None:
    """Check the values of ``train`` that a misprint would turn into a late or a silent failure.

    Raises:
        ValueError: names the key, what it takes and what it has.
    """
    for key in ("max_iter", "log_period", "accumulate", "checkpointer.period"):
        value = OmegaConf.select(options, key)
        _require(_is_int(value) and value >= 1, key, value, "a positive integer")
    period, kept = options.eval_period, options.checkpointer.get("max_to_keep")
    _require(_is_int(period) and period >= 0, "eval_period", period, "an integer >= 0")
    valid = kept is None or _is_int(kept) and kept >= 1
    _require(valid, "checkpointer.max_to_keep", kept, "null or a positive integer")
    unknown = sorted(set(options.checkpointer) - {"period", "max_to_keep"})
    _require(not unknown, "checkpointer", unknown, "of the keys period and max_to_keep")
    start = options.init_checkpoint
    valid = start is None or isinstance(start, str)
    _require(valid, "init_checkpoint", start, "a file or address of weights")
    frozen = options.frozen
    valid = OmegaConf.is_list(frozen) and all(isinstance(name, str) for name in frozen)
    _require(frozen is None or valid, "frozen", frozen, "null or a list such as [backbone]")
    folder = options.output_dir
    _require(isinstance(folder, str) and folder != "", "output_dir", folder, "a folder")
    seed, bound, dtype = options.seed, options.clip_grad_norm, options.amp.dtype
    _require(seed is None or _is_int(seed) and seed >= 0, "seed", seed, "null or an integer >= 0")
    positive = isinstance(bound, int | float) and math.isfinite(bound) and bound > 0
    _require(bound is None or positive, "clip_grad_norm", bound, "null or a positive number")
    _require(dtype in ("float16", "bfloat16"), "amp.dtype", dtype, "float16 or bfloat16")
    decay = options.ema.decay
    _require(isinstance(decay, float) and 0 < decay < 1, "ema.decay", decay, "between 0 and 1")
    best = options.best_checkpoint
    if best is not None:
        _require(
            OmegaConf.is_dict(best), "best_checkpoint", best, "null or {metric: ..., mode: ...}"
        )
        metric, mode = best.get("metric"), best.get("mode")
        valid = isinstance(metric, str)
        _require(valid, "best_checkpoint.metric", metric, "a metric of a task, such as bbox/AP")
        _require(mode in ("max", "min"), "best_checkpoint.mode", mode, "max or min")
    if str(options.device).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("train.device is cuda but torch sees no GPU: give --num-gpus 0.")


def prepare_run(config: DictConfig, *, training: bool = True) -> None:
    """Make the output folder, log to its ``log.txt``, and write ``config.yaml`` there.

    Args:
        config: of the run.
        training: False for an evaluation, which leaves the ``config.yaml`` of a run as it is.

    Raises:
        OSError: if the folder cannot be made or written to.
    """
    log_run(config)
    file = Path(config.train.output_dir, "config.yaml")
    if comm.is_main_process() and (training or not file.exists()):
        save_config(config, file)


def log_run(config: DictConfig) -> None:
    """Make the output folder of a run, and log to its ``log.txt``.

    Raises:
        OSError: if the folder cannot be made or written to.
    """
    folder = config.train.output_dir
    make_output_folder(folder)
    start_logging(folder)
    logger.info("torch %s on %s, output in %s", torch.__version__, config.train.device, folder)


def start_logging(folder: str | None = None) -> None:
    """Show what this package and Detectron2 log, in the main process.

    Args:
        folder: where every process also writes a ``log.txt``, which begins with what was logged
            since a call without a folder.

    Raises:
        OSError: if it cannot be written.
    """
    rank = comm.get_rank()
    for name in _LOGGERS:
        # A second run in one process logs to its own folder, and each line once.
        logging.getLogger(name).handlers.clear()
        setup_logger.cache_clear()
        try:
            setup_logger(folder, distributed_rank=rank, name=name, enable_propagation=True)
        except OSError as error:
            raise OSError(
                f"Cannot write {error.filename} ({error.strerror}): give another --output-dir."
            ) from error
    if folder is None:
        keep_records(_LOGGERS)
    else:
        write_kept_records(_LOGGERS)


def _require_objects(name: str) -> None:
    records = load_records(name, ahead=True)
    if not any(
        not a.get("iscrowd", 0) for record in records for a in record.get("annotations", ())
    ):
        raise ValueError(
            f"None of the {len(records)} images of --train-data has a box to learn from: give data "
            "with annotations that are no crowds and not empty."
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(valid: bool, key: str, value: Any, expected: str) -> None:
    if not valid:
        raise ValueError(f"train.{key} is {value!r}: it must be {expected}.")
