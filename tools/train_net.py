#!/usr/bin/env python
"""Train or evaluate a config: on the CPU, on GPUs of one or more machines, or under torchrun."""

from __future__ import annotations

import argparse

import torch
from detectron2.engine import default_argument_parser

import cascade_rpn_d2  # noqa: F401  (registers the components)
from cascade_rpn_d2.engine import evaluate_checkpoint, setup_config, train
from cascade_rpn_d2.engine.command import run_command

EXAMPLES = """
Examples:

    train_net.py --config-file cascade_rpn/cascade_rpn_r50_fpn_1x.py --num-gpus 8
    train_net.py --config-file demo/cascade_rpn.py --num-gpus 0 train.max_iter=100
    train_net.py --config-file cascade_rpn/cascade_rpn_r50_fpn_1x.py \\
        --train-data photos/train:train.json --test-data photos/val:val.json optimizer.lr=0.0025
    train_net.py --config-file my_config.py --eval-only train.init_checkpoint=model_final.pth
    train_net.py --config-file my_config.py --eval-only --tta "tta.min_sizes=[600,1000,1200]" \\
        train.init_checkpoint=model_final.pth
    torchrun --nproc-per-node 8 train_net.py --config-file my_config.py --resume
"""


def parse_args() -> argparse.Namespace:
    parser = default_argument_parser(EXAMPLES)
    parser.set_defaults(num_gpus=int(torch.cuda.is_available()), dist_url="auto")
    for option, text in {
        "--train-data": "images_dir:annotations.json in COCO format to train on",
        "--test-data": "images_dir:annotations.json in COCO format to evaluate on",
        "--train-proposals": "file of tools/dump_proposals.py to train Fast R-CNN on",
        "--test-proposals": "file of tools/dump_proposals.py to evaluate Fast R-CNN on",
        "--output-dir": "folder of checkpoints, metrics and results (train.output_dir)",
    }.items():
        parser.add_argument(option, help=text)
    parser.add_argument(
        "--tta",
        action="store_true",
        help="with --eval-only: merge what is detected in several sizes and mirrored (tta.*)",
    )
    args = parser.parse_args()
    if args.tta and not args.eval_only:
        parser.error("--tta changes how a detector is evaluated: give it with --eval-only")
    return args


def main(args: argparse.Namespace) -> None:
    config = setup_config(
        args.config_file,
        args.opts,
        train_data=args.train_data,
        test_data=args.test_data,
        train_proposals=args.train_proposals,
        test_proposals=args.test_proposals,
        output_dir=args.output_dir,
        device="cpu" if args.num_gpus == 0 else None,
        tta=args.tta,
    )
    if args.eval_only:
        evaluate_checkpoint(config, resume=args.resume, tta=args.tta)
    else:
        train(config, resume=args.resume)


if __name__ == "__main__":
    run_command("train_net.py", main, parse_args())
