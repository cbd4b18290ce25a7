"""Measure how fast the operator, the proposal heads and whole detectors are on this machine.

    cascade-rpn benchmark --mode op head --quick
    cascade-rpn benchmark --mode all --output-dir output/benchmark

What is measured and its reference run back to back, in alternating order; the table gives the
median ratio of these pairs first, with its quartiles and, where there is one, the target. The
folder of the output receives benchmark.json with the single levels too, benchmark.md, and plots of
time against the number of cells and against the share of active cells.

All settings together take hours on a CPU: choose some, or give --quick, which takes the smaller
image, a batch of one, contiguous maps, trained boxes and few pairs unless told otherwise.

Modes: op, the adaptive convolution against F.conv2d and torchvision's deform_conv2d; head, from
the maps of an FPN to proposals, in convolutions of all maps, for Cascade RPN, a plain RPN and,
where it is installed, mmdet; train-step, likewise with targets, losses and gradients;
location-threshold, GA-RPN with the shares of active cells of the paper's Table 5 against all cells,
whose results are compared first; backbone, a deformable backbone and its grouped convolutions
against the same with torchvision's deform_conv2d, and against F.conv2d; end-to-end, images per
second of whole detectors.

The shares that trained weights have at a threshold are a result of their evaluation:

    cascade-rpn eval --config-file guided_anchoring/ga_rpn_r50_fpn_1x.py --weights <file> \\
        model.proposal_generator.location_threshold=0.05
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .arguments import add_options, positive

if TYPE_CHECKING:
    from cascade_rpn_d2.benchmark import Plan, Row

# As cascade_rpn_d2.benchmark has them.
MODES = ("op", "head", "train-step", "location-threshold", "backbone", "end-to-end")
DTYPES = ("float32", "tf32", "bfloat16", "float16")
LAYOUTS = ("contiguous", "channels-last")
BOXES = ("trained", "spread")
CASCADE_RPN = "cascade_rpn/cascade_rpn_r50_fpn_1x.py"
RPN = "cascade_rpn/rpn_r50_fpn_1x.py"
GA_RPN = "guided_anchoring/ga_rpn_r50_fpn_1x.py"
BACKBONE = "cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_fpn_2x.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--mode", nargs="+", choices=[*MODES, "all"], default=["all"], help="default: all")
    add("--image-size", nargs="+", type=_size, metavar="HxW", help="default: 800x1344 480x640")
    add("--batch", nargs="+", type=positive, metavar="N", help="images at once (default: 1 2)")
    add(
        "--threads",
        nargs="+",
        type=positive,
        default=[1, 2],
        metavar="N",
        help="of the CPU (default: 1 2)",
    )
    add("--dtype", nargs="+", choices=DTYPES, help="default: float32 on a CPU, all on a GPU")
    add_options(
        parser,
        "--device",
        nargs="+",
        help="such as cpu cuda:1; default: a GPU if there is one",
    )
    add("--layout", nargs="+", choices=LAYOUTS, help="default: both")
    add("--boxes", nargs="+", choices=BOXES, help="near their cells, or anywhere (default: both)")
    add(
        "--repeats",
        type=positive,
        metavar="N",
        help="most pairs of a ratio (default: 50, quick: 20)",
    )
    add("--seconds", type=float, help="for the pairs of a ratio (default: 10, quick: 1)")
    add(
        "--channels",
        type=positive,
        default=256,
        metavar="N",
        help="of the operator's maps (default: 256)",
    )
    add(
        "--cascade-rpn",
        default=CASCADE_RPN,
        metavar="CONFIG",
        help="of the head (default: %(default)s)",
    )
    add("--rpn", default=RPN, metavar="CONFIG", help="of its baseline (default: %(default)s)")
    add(
        "--ga-rpn",
        default=GA_RPN,
        metavar="CONFIG",
        help="for the thresholds (default: %(default)s)",
    )
    add(
        "--backbone",
        default=BACKBONE,
        metavar="CONFIG",
        help="with deformable blocks (default: %(default)s)",
    )
    add(
        "--detectors",
        nargs="+",
        metavar="CONFIG",
        help="whole detectors, the first is the baseline; default: RPN and Cascade RPN, alone and "
        "under Faster R-CNN",
    )
    add_options(parser, "--trust-config")
    add("--quick", action="store_true", help="a first impression in little time")
    add("--per-level", action="store_true", help="print the single levels too")
    add_options(
        parser,
        "--output-dir",
        help="folder for json, Markdown and plots; default: none is written",
    )


def make_plan(args: argparse.Namespace) -> Plan:
    """What the arguments ask for.

    Raises:
        ValueError: if they do not go together.
    """
    from cascade_rpn_d2.benchmark import Budget, Plan, all_cases
    from cascade_rpn_d2.benchmark.end_to_end import DETECTORS
    from cascade_rpn_d2.model_zoo import choose_device

    quick = args.quick
    cases = all_cases(
        devices=[str(choose_device(device)) for device in args.device or [None]],
        dtypes=args.dtype,
        threads=args.threads,
        image_sizes=args.image_size or ([(480, 640)] if quick else [(800, 1344), (480, 640)]),
        batches=args.batch or ([1] if quick else [1, 2]),
        layouts=args.layout or (["contiguous"] if quick else list(LAYOUTS)),
        boxes=args.boxes or (["trained"] if quick else list(BOXES)),
    )
    repeats = args.repeats or (20 if quick else 50)
    budget = Budget(
        min_pairs=min(repeats, 3 if quick else 5),
        max_pairs=repeats,
        seconds=args.seconds if args.seconds is not None else (1.0 if quick else 10.0),
    )
    return Plan(
        [mode for mode in MODES if mode in args.mode or "all" in args.mode],
        cases,
        budget,
        args.channels,
        args.cascade_rpn,
        args.rpn,
        args.ga_rpn,
        tuple(args.detectors or DETECTORS),
        args.backbone,
    )


def run(args: argparse.Namespace) -> None:
    """Measure, print the tables and write them."""
    from pathlib import Path

    from cascade_rpn_d2.benchmark import environment, markdown, run, write_results
    from cascade_rpn_d2.files.folders import make_writable

    plan = make_plan(args)
    folder = Path(args.output_dir) if args.output_dir else None
    if folder:
        # Rather than fail after hours.
        make_writable(folder, f"the output folder {folder}", "give another --output-dir.")
    surroundings = environment(list({case.device: None for case in plan.cases}), args.threads)

    def save(rows: Sequence[Row]) -> None:
        if folder:
            write_results(folder, surroundings, rows, args.per_level)

    rows = run(plan, _show_progress, save)
    print(markdown(surroundings, rows, args.per_level))
    if folder:
        print(f"Tables, json and plots are in {folder}.")


def _show_progress(row: Row) -> None:
    from cascade_rpn_d2.benchmark.row import PYRAMID

    if row.case is not None and row.level in ("", PYRAMID):
        outcome = row.not_measured if row.ratio is None else f"{row.ratio:.3g}"
        print(f"{row.mode}, {row.quantity}: {outcome}", file=sys.stderr, flush=True)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    try:
        return positive(height), positive(width)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise argparse.ArgumentTypeError(f"must be height x width in pixels, not {text}") from error
