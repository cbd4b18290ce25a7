#!/usr/bin/env python
"""Train and evaluate the rows of a paper's table in turn, and print it beside the paper's."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from detectron2.utils import comm

import cascade_rpn_d2  # noqa: F401  (registers the components)
from cascade_rpn_d2.engine.command import run_command
from cascade_rpn_d2.reproduce import SCALES, Setting, find_table, markdown, reproduce

PROJECTS = Path(__file__).resolve().parent.parent / "projects"
EXAMPLES = """
Examples:

    reproduce.py cascade_rpn/table3                            all rows, on two CPU cores
    reproduce.py cascade_rpn/table3 --rows "+ Cascade" 7 train.max_iter=100
    reproduce.py cascade_rpn/table6 --dataset photos/train:train.json photos/val:val.json
    reproduce.py cascade_rpn/table1 --scale full --num-gpus 8  the paper's protocol, on COCO

A row that was stopped goes on where it was, and one that is finished is not run again.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", help="project/table, such as cascade_rpn/table3")
    parser.add_argument("--rows", nargs="+", default=[], help="names or numbers; all by default")
    parser.add_argument("--scale", choices=sorted(SCALES), default="tiny")
    parser.add_argument(
        "--dataset",
        nargs=2,
        metavar=("TRAIN", "TEST"),
        default=(None, None),
        help="images_dir:annotations.json in COCO format to train and to test on; by default "
        + ", ".join(f"{scale.data} ({name})" for name, scale in SCALES.items()),
    )
    parser.add_argument("--output-dir", type=Path, help="output/reproduce/<scale> by default")
    parser.add_argument("--num-gpus", type=int, default=int(torch.cuda.is_available()))
    parser.add_argument("--num-machines", type=int, default=1)
    parser.add_argument("--machine-rank", type=int, default=0)
    parser.add_argument("--dist-url", default="auto")
    parser.add_argument("overrides", nargs="*", help="key=value changes to the config of every row")
    args = parser.parse_intermixed_args()
    # --rows takes all that follows it.
    args.overrides += [text for text in args.rows if "=" in text]
    args.rows = [text for text in args.rows if "=" not in text]
    return args


def main(args: argparse.Namespace) -> None:
    train_data, test_data = args.dataset
    setting = Setting(
        scale=SCALES[args.scale],
        output_dir=args.output_dir or Path("output/reproduce") / args.scale,
        train_data=train_data,
        test_data=test_data,
        overrides=args.overrides,
        device="cpu" if args.num_gpus == 0 else None,
    )
    report = reproduce(args.table, find_table(PROJECTS, args.table), setting, args.rows)
    if comm.is_main_process():
        print(f"\n{markdown(report)}")


if __name__ == "__main__":
    run_command("reproduce.py", main, parse_args())
