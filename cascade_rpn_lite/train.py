"""Train a config: on the CPU, on GPUs of one or more machines, or under torchrun.

    cascade-rpn train --config-file cascade_rpn/cascade_rpn_r50_fpn_1x.py --num-gpus 8
    cascade-rpn train --config-file demo/cascade_rpn.py --num-gpus 0 train.max_iter=100
    cascade-rpn train --config-file small/cascade_rpn_r18_fpn_1k.py \\
        --train-data photos/train:train.json --test-data photos/val:val.json optimizer.lr=0.0025
    torchrun --nproc-per-node 8 --no-python cascade-rpn train --config-file my_config.py --resume

A run that was stopped goes on with --resume, exactly as if it had not been.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from .arguments import (
    LAUNCH,
    READING,
    add_options,
    add_overrides,
    run_arguments,
    take_outside_images,
    take_reading,
)


def add_arguments(parser: argparse.ArgumentParser, *, evaluates: bool = False) -> None:
    """Add the options; ``evaluates`` leaves out those of a training."""
    add_options(parser, "--config-file", required=True)
    add_options(parser, "--trust-config")
    if evaluates:
        add_options(
            parser,
            "--weights",
            help="checkpoint file or URL; default: the zoo's for that config, model_final.pth "
            "beside a run's config.yaml, or else train.init_checkpoint of a config in Python",
        )
        add_options(parser, "--resume", help="evaluate the last checkpoint of the output folder")
    else:
        add_options(
            parser,
            "--weights",
            help="checkpoint file or URL to start from; default: train.init_checkpoint",
        )
        add_options(parser, "--resume")
        parser.add_argument(
            "--eval-only",
            action="store_true",
            help="evaluate --weights or train.init_checkpoint instead, as Detectron2's tools do; "
            "`cascade-rpn eval` is the same for trained weights of the zoo or of a file",
        )
    add_options(parser, "--tta", **({} if evaluates else {"help": _TTA_WITH_EVAL_ONLY}))
    add_options(parser, "--train-data", "--test-data", "--allow-outside-images")
    add_options(parser, *READING, "--no-check", "--train-proposals", "--test-proposals")
    add_options(parser, "--max-detections")
    add_options(parser, "--output-dir", **({"help": _FOLDER_OF_EVAL} if evaluates else {}))
    add_options(parser, *LAUNCH)
    add_overrides(parser)


_FOLDER_OF_EVAL = (
    "folder of the results (default: that of a config.yaml, or train.output_dir of another config)"
)
_TTA_WITH_EVAL_ONLY = "with --eval-only: merge the detections at several image sizes, mirrored too"


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse arguments that do not go together."""
    if args.tta and not args.eval_only:
        parser.error("--tta changes how a detector is evaluated: give it with --eval-only")


def _given(args: argparse.Namespace) -> str | None:
    return args.weights


def run(
    args: argparse.Namespace, *, find_weights: Callable[[argparse.Namespace], str | None] = _given
) -> None:
    """Train, or evaluate with ``--eval-only``, in this process of the run.

    An evaluation of the config of a run writes beside it, wherever the run had written to.
    """
    from cascade_rpn_d2.engine import evaluate_checkpoint, setup_config, train
    from cascade_rpn_d2.engine.run_config import folder_of_config
    from cascade_rpn_d2.engine.setup import start_logging

    start_logging()
    take_outside_images(args)
    folder = folder_of_config(args.config_file) if args.eval_only else None
    if folder is not None and args.output_dir is None:
        args.output_dir = str(folder)
    config = setup_config(
        args.config_file,
        [*take_reading(args, "train", "test"), *args.overrides],
        weights=find_weights(args),
        tta=args.tta,
        **run_arguments(args),
    )
    if args.eval_only:
        evaluate_checkpoint(config, resume=args.resume, tta=args.tta)
    else:
        train(config, resume=args.resume)
