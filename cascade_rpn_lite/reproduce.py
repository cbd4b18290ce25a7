"""Train and evaluate the rows of a paper's table in turn, and print it beside the paper's.

    cascade-rpn reproduce cascade_rpn/table3                   all rows, on two CPU cores
    cascade-rpn reproduce cascade_rpn/table3 --rows "+ Cascade" 7 train.max_iter=100
    cascade-rpn reproduce cascade_rpn/table6 --train-data photos/train:train.json \\
        --test-data photos/val:val.json
    cascade-rpn reproduce cascade_rpn/table1 --scale full --num-gpus 8      as the paper, on COCO

A row that was stopped goes on where it was, and one that is finished is not run again.
"""

from __future__ import annotations

import argparse

from .arguments import DATA, LAUNCH, add_options, add_overrides, take_outside_images

# What each of reproduce.SCALES runs on.
SCALES = {"tiny": "the demo dataset", "full": "COCO 2017"}
_DEFAULTS = ", ".join(f"{data} ({scale})" for scale, data in SCALES.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("table", help="project/table, such as cascade_rpn/table3")
    parser.add_argument("--rows", nargs="+", default=[], help="names or numbers; all by default")
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="tiny",
        help="tiny: the demo's backbone, data and schedule; full: the paper's (default: tiny)",
    )
    add_options(parser, "--train-data", help=f"what to train on: {DATA}; default: {_DEFAULTS}")
    add_options(parser, "--test-data", help="what to test on, given together with --train-data")
    add_options(parser, "--allow-outside-images")
    add_options(parser, "--output-dir", help="default: output/reproduce/<scale>")
    add_options(parser, *LAUNCH)
    add_overrides(parser, of="the config of every row")


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse data to train on without data to test on."""
    if (args.train_data is None) != (args.test_data is None):
        parser.error("give --train-data and --test-data together, or neither")


def run(args: argparse.Namespace) -> None:
    """Run the rows, in this process of the run, and print the table."""
    from pathlib import Path

    from detectron2.utils import comm

    from cascade_rpn_d2.engine.setup import start_logging
    from cascade_rpn_d2.reproduce import (
        SCALES,
        Setting,
        find_table,
        markdown,
        projects_dir,
        reproduce,
    )

    start_logging()
    take_outside_images(args)
    setting = Setting(
        scale=SCALES[args.scale],
        output_dir=Path(args.output_dir or f"output/reproduce/{args.scale}"),
        train_data=args.train_data,
        test_data=args.test_data,
        overrides=args.overrides,
        device="cpu" if args.num_gpus == 0 else None,
    )
    table = find_table(projects_dir(), args.table)
    report = reproduce(args.table, table, setting, args.rows)
    if comm.is_main_process():
        print(f"\n{markdown(report)}")
