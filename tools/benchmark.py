#!/usr/bin/env python
"""Measure how fast the operator, the proposal heads and whole detectors are on this machine.

    python tools/benchmark.py --mode op head --quick
    python tools/benchmark.py --mode all --output output/benchmark

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
whose results are compared first; end-to-end, images per second of whole detectors.

The shares that trained weights have at a threshold are a result of their evaluation:

    python tools/train_net.py --eval-only --config-file guided_anchoring/ga_rpn_r50_fpn_1x.py \\
        train.init_checkpoint=<file> model.proposal_generator.location_threshold=0.05

Exit status: 0 if all went well, 2 if the arguments do not work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cascade_rpn_d2.benchmark import (
    BOXES,
    DTYPES,
    LAYOUTS,
    MODES,
    Budget,
    Plan,
    Row,
    all_cases,
    environment,
    markdown,
    run,
    write_results,
)
from cascade_rpn_d2.benchmark.end_to_end import DETECTORS
from cascade_rpn_d2.benchmark.heads import CASCADE_RPN, RPN
from cascade_rpn_d2.benchmark.location_threshold import GA_RPN
from cascade_rpn_d2.benchmark.row import PYRAMID
from cascade_rpn_d2.model_zoo import choose_device


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--mode", nargs="+", choices=[*MODES, "all"], default=["all"], help="default: all")
    add("--image-size", nargs="+", type=_size, help="default: 800x1344 480x640 (height x width)")
    add("--batch", nargs="+", type=_positive, help="images at once (default: 1 2)")
    add("--threads", nargs="+", type=_positive, default=[1, 2], help="of the CPU (default: 1 2)")
    add("--dtype", nargs="+", choices=DTYPES, help="default: float32 on a CPU, all on a GPU")
    add("--device", nargs="+", help="such as cpu cuda:1; default: a GPU if there is one")
    add("--layout", nargs="+", choices=LAYOUTS, help="default: both")
    add("--boxes", nargs="+", choices=BOXES, help="near their cells, or anywhere (default: both)")
    add("--repeats", type=_positive, help="most pairs of a ratio (default: 50, quick: 20)")
    add("--seconds", type=float, help="for the pairs of a ratio (default: 10, quick: 1)")
    add("--channels", type=_positive, default=256, help="of the operator's maps (default: 256)")
    add("--cascade-rpn", default=CASCADE_RPN, help="config of the head (default: %(default)s)")
    add("--rpn", default=RPN, help="config of its baseline (default: %(default)s)")
    add("--ga-rpn", default=GA_RPN, help="config for the thresholds (default: %(default)s)")
    add("--detectors", nargs="+", default=DETECTORS, help="configs, the first is the baseline")
    add("--quick", action="store_true", help="a first impression in little time")
    add("--per-level", action="store_true", help="print the single levels too")
    add("--output", type=Path, help="folder for json, Markdown and plots; default: none is written")
    return parser.parse_args(argv)


def make_plan(args: argparse.Namespace) -> Plan:
    """What the arguments ask for.

    Raises:
        ValueError: if they do not go together.
    """
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
    modes = [mode for mode in MODES if mode in args.mode or "all" in args.mode]
    return Plan(
        modes,
        cases,
        budget,
        args.channels,
        args.cascade_rpn,
        args.rpn,
        args.ga_rpn,
        tuple(args.detectors),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = parse_args(argv)
    try:
        plan = make_plan(args)
        if args.output:
            args.output.mkdir(parents=True, exist_ok=True)  # rather than fail after hours
        devices = dict.fromkeys(case.device for case in plan.cases)
        surroundings = environment(list(devices), args.threads)

        def save(rows: Sequence[Row]) -> None:
            if args.output:
                write_results(args.output, surroundings, rows, args.per_level)

        rows = run(plan, _show_progress, save)
        print(markdown(surroundings, rows, args.per_level))
        if args.output:
            print(f"Tables, json and plots are in {args.output}.")
    except (OSError, ValueError) as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 2
    return 0


def _show_progress(row: Row) -> None:
    if row.case is not None and row.level in ("", PYRAMID):
        outcome = row.not_measured if row.ratio is None else f"{row.ratio:.3g}"
        print(f"{row.mode}, {row.quantity}: {outcome}", file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    try:
        return _positive(height), _positive(width)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise argparse.ArgumentTypeError(f"must be height x width in pixels, not {text}") from error


if __name__ == "__main__":
    sys.exit(main())
