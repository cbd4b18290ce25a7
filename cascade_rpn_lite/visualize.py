"""Draw the figures of the papers from any config and checkpoint."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Sequence

from .arguments import (
    DATA,
    READING,
    Parser,
    add_options,
    add_overrides,
    print_help,
    take_outside_images,
    take_reading,
)
from .figures import FIGURES

EXAMPLES = """
    cascade-rpn visualize stages        --config-file demo/cascade_rpn.py --output stages.png
    cascade-rpn visualize sampling      --config-file demo/cascade_rpn.py --output sampling.png
    cascade-rpn visualize targets       --config-file demo/cascade_rpn.py --output targets.png
    cascade-rpn visualize recall        --model "Cascade RPN" demo/cascade_rpn.py - \\
                                        --output recall.png
    cascade-rpn visualize iou           --model GA-RPN $run/config.yaml $run/model_final.pth \\
                                        --model RPN $other/config.yaml $other/model_final.pth \\
                                        --output iou.png
    cascade-rpn visualize anchors       --config-file $run/config.yaml \\
                                        --weights $run/model_final.pth --output anchors.png

    cascade-rpn visualize precision     --results "Grid R-CNN" $other/evaluation_final.json \\
                                        --results "CPM R-CNN" $run --output precision.png

anchor-shapes, grid, refinement, scores and score-iou are asked for as anchors are. Images are those
of the config's test data, of another dataset (--data) or, for stages, sampling, anchors, grid and
refinement, one's own (--input).
"""


def parse(words: Sequence[str], program: str) -> argparse.Namespace:
    """The arguments, of which the first names the figure.

    Raises:
        SystemExit: with status 2 if they do not work, with 0 after ``--help``.
    """
    name, *rest = words or [""]
    if name in ("-h", "--help"):
        print_help(help_text(program))
        sys.exit(0)
    if name not in FIGURES:
        near = difflib.get_close_matches(name, FIGURES, n=1)
        advice = f"did you mean '{near[0]}'?" if near else f"give one of {', '.join(FIGURES)}."
        print(f"{program}: There is no figure '{name}': {advice}", file=sys.stderr)
        sys.exit(2)
    args = figure_parser(name, program).parse(rest)
    args.figure = name
    return args


def figure_parser(name: str, program: str) -> Parser:
    """The parser of one figure."""
    figure = FIGURES[name]
    parser = Parser(prog=f"{program} {name}", description=f"Draw {figure.summary}.")
    if figure.several:
        repeatable = {"action": "append", "default": []}
        add_options(
            parser,
            "--config-file",
            help="name in the zoo, or path of a LazyConfig; repeatable",
            **repeatable,
        )
        add_options(
            parser,
            "--weights",
            help="checkpoint file or URL, - for the zoo's, as many as config files and in their "
            "order; default: the zoo's for all",
            **repeatable,
        )
        parser.add_argument(
            "--model",
            nargs=3,
            action="append",
            default=[],
            metavar=("NAME", "CONFIG", "WEIGHTS"),
            help="a model and what to call it, repeatable; WEIGHTS may be - for the zoo's",
        )
    else:
        add_options(parser, "--config-file", required=True)
        add_options(parser, "--weights")
    add_options(parser, "--trust-config")
    source = parser.add_mutually_exclusive_group()
    if figure.images:
        add_options(source, "--input", help="images, folders or patterns of your own")
    add_options(
        source,
        "--data",
        help=f"{DATA}; default: the config's test data",
    )
    add_options(parser, "--allow-outside-images")
    add_options(parser, "--output", required=True, help="the figure, *.png or *.jpg")
    add_options(parser, *READING, "--device")
    figure.add_arguments(parser)
    add_overrides(parser)
    return parser


def help_text(program: str) -> str:
    """What ``visualize --help`` prints: the figures, with an example of each."""
    lines = [f"usage: {program} FIGURE [options] [key=value ...]", "", f"{__doc__}", ""]
    for name, figure in FIGURES.items():
        lines += textwrap.wrap(
            f"{name:<14} {figure.summary}", 96, initial_indent="  ", subsequent_indent=" " * 17
        )
    return "\n".join([*lines, EXAMPLES, f"{program} FIGURE --help has the options of each."])


def run(args: argparse.Namespace) -> None:
    """Draw, and print what came of it."""
    take_outside_images(args)
    args.overrides = [*take_reading(args, "test"), *args.overrides]
    given = dict(vars(args))
    given.pop("trust_config")  # of the whole command
    module, function = FIGURES[given.pop("figure")].function.split(":")
    draw = getattr(importlib.import_module(f"cascade_rpn_d2.{module}"), function)
    parameters = inspect.signature(draw).parameters
    left_out = {  # the function's own default takes their place
        name
        for name, value in given.items()
        if value is None and parameters[name].default is not inspect.Parameter.empty
    }
    print(draw(**{name: value for name, value in given.items() if name not in left_out}))
