"""Draw the figures of the papers from any config and checkpoint."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .arguments import (
    DATA,
    READING,
    Parser,
    add_options,
    add_overrides,
    positive,
    print_help,
    take_outside_images,
    take_reading,
)

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


@dataclass(frozen=True)
class Figure:
    """One figure.

    Args:
        function: of ``cascade_rpn_d2.engine``, as ``module:name``, which draws it.
        summary: what it shows.
        add_arguments: adds the options that not every figure has.
        several: whether it compares several models.
        images: whether it can be drawn on images of one's own.
    """

    function: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    several: bool = False
    images: bool = False


def _stages(parser: argparse.ArgumentParser) -> None:
    _choice_of_images(parser, default=4)
    add_options(
        parser,
        "--top-k",
        help="maximum number of proposals per image (default: 100; own images: 20)",
    )
    add_options(parser, "--width")


def _sampling(parser: argparse.ArgumentParser) -> None:
    add_options(parser, "--image-id")
    parser.add_argument(
        "--cell",
        action="append",
        help="level,row,column such as p3,10,12, repeatable; default: that of the best proposal",
    )
    parser.add_argument(
        "--deformable",
        nargs=2,
        metavar=("CONFIG", "WEIGHTS"),
        help="a model with a LearnedAlignment, for the panel of the deformable convolution",
    )
    add_options(parser, "--width", default=1000)


def _targets(parser: argparse.ArgumentParser) -> None:
    add_options(parser, "--max-images")
    parser.add_argument(
        "--first-stage", action="store_true", help="measure stage 1 only, which needs no weights"
    )


def _recall(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at",
        type=positive,
        default=100,
        metavar="N",
        help="number of proposals of the curve over IoU (default: 100)",
    )
    parser.add_argument(
        "--numbers",
        nargs="+",
        type=positive,
        metavar="N",
        help="numbers of proposals of the other curve (default: from 1 to 1000)",
    )
    add_options(parser, "--batch-size")


def _anchors(parser: argparse.ArgumentParser) -> None:
    _choice_of_images(parser, default=3)
    add_options(
        parser,
        "--top-k",
        default=50,
        help="maximum number of anchors per image (default: %(default)s)",
    )
    add_options(parser, "--width")


def _anchor_shapes(parser: argparse.ArgumentParser) -> None:
    add_options(parser, "--max-images")
    parser.add_argument(
        "--baseline",
        metavar="CONFIG",
        help="config of the sliding window's anchors; default: the model's squares, in the aspect "
        "ratios 0.5, 1 and 2 of an RPN",
    )


def _iou(parser: argparse.ArgumentParser) -> None:
    add_options(
        parser,
        "--top-k",
        default=1000,
        help="maximum number of proposals per image (default: %(default)s)",
    )
    add_options(parser, "--batch-size")


def _grid(parser: argparse.ArgumentParser) -> None:
    add_options(parser, "--image-id")
    parser.add_argument(
        "--detection",
        type=positive,
        metavar="N",
        help="number of the detection, 1 for the best score; default: the first of an object",
    )
    parser.add_argument(
        "--stage", type=positive, default=1, metavar="N", help="stage of the maps (default: 1)"
    )
    add_options(parser, "--width")


def _refinement(parser: argparse.ArgumentParser) -> None:
    _choice_of_images(parser, default=3)
    parser.add_argument(
        "--pick",
        choices=("best", "moved"),
        default="best",
        help="which detection of an object: the one of the best score (default), or the one whose "
        "IoU the stages raise most",
    )
    add_options(parser, "--width")


def _scores(parser: argparse.ArgumentParser) -> None:
    add_options(parser, "--max-images", "--min-iou")
    add_options(
        parser,
        "--score-threshold",
        default=0.5,
        help="minimum score of the classification of a detection (default: %(default)s)",
    )
    parser.add_argument(
        "--columns",
        type=positive,
        default=3,
        metavar="N",
        help="detections of a row (default: 3)",
    )
    add_options(parser, "--width")


def _score_iou(parser: argparse.ArgumentParser) -> None:
    add_options(parser, "--max-images", "--min-iou")


def _precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "PATH"),
        help="an evaluation to read and what to call it, repeatable: its json file, or the folder "
        "of a run, whose final evaluation is taken; models are evaluated",
    )
    add_options(parser, "--batch-size")


def _choice_of_images(parser: argparse.ArgumentParser, default: int) -> None:
    add_options(
        parser, "--num-images", default=default, help="rows of the figure (default: %(default)s)"
    )
    add_options(parser, "--image-ids")


FIGURES = {
    "stages": Figure(
        "visualize:visualize_stages",
        "proposals of every stage, or of several models, beside each other (Cascade RPN, Figures "
        "4 and 5; Guided Anchoring, Figure 5)",
        _stages,
        several=True,
        images=True,
    ),
    "sampling": Figure(
        "visualize:visualize_sampling",
        "where plain, dilated, deformable and adaptive convolutions read (Cascade RPN, Figure 3)",
        _sampling,
        images=True,
    ),
    "targets": Figure(
        "visualize:visualize_targets",
        "distribution of the regression targets of every stage (Cascade RPN, Figure 1a), and their "
        "means and standard deviations: the regression statistics of a dataset",
        _targets,
    ),
    "recall": Figure(
        "visualize:visualize_recall",
        "recall against IoU, and average recall against the number of proposals",
        _recall,
        several=True,
    ),
    "anchors": Figure(
        "visualize_guided:visualize_anchors",
        "guided anchors, the probability of a centre, and aspect ratios (Guided Anchoring, "
        "Figure 4)",
        _anchors,
        images=True,
    ),
    "anchor-shapes": Figure(
        "visualize_guided:visualize_anchor_shapes",
        "distribution of scales and aspect ratios of objects, guided anchors and a sliding window "
        "(Guided Anchoring, Figure 6)",
        _anchor_shapes,
    ),
    "iou": Figure(
        "visualize_guided:visualize_iou",
        "how many proposals overlap with an object how well (Guided Anchoring, Figure 3)",
        _iou,
        several=True,
    ),
    "grid": Figure(
        "visualize_grid:visualize_grid",
        "heat maps of the grid points of a detection, and the box that is read from them",
        _grid,
        images=True,
    ),
    "refinement": Figure(
        "visualize_grid:visualize_refinement",
        "a box moving through the stages of a point-guided detector (CPM R-CNN, Figure 3)",
        _refinement,
        images=True,
    ),
    "scores": Figure(
        "visualize_grid:visualize_scores",
        "detections with their scores beside their true IoU (CPM R-CNN, Figures 5 and 6)",
        _scores,
    ),
    "score-iou": Figure(
        "visualize_grid:visualize_score_ious",
        "true IoU of detections over the score of their class and the fused score (CPM R-CNN, "
        "Figure 1)",
        _score_iou,
    ),
    "precision": Figure(
        "precision:visualize_precision",
        "AP of detectors by IoU threshold, from 0.5 to 0.95, and by the size of objects "
        "(CPM R-CNN, Figure 8), from their evaluations or measured anew",
        _precision,
        several=True,
    ),
}


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
    draw = getattr(importlib.import_module(f"cascade_rpn_d2.engine.{module}"), function)
    parameters = inspect.signature(draw).parameters
    left_out = {  # the function's own default takes their place
        name
        for name, value in given.items()
        if value is None and parameters[name].default is not inspect.Parameter.empty
    }
    print(draw(**{name: value for name, value in given.items() if name not in left_out}))
