"""The figures that ``visualize`` draws: what each shows, and the options of its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from .arguments import add_options, positive


@dataclass(frozen=True)
class Figure:
    """One figure.

    Args:
        function: of ``cascade_rpn_d2``, as ``module:name``, which draws it.
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
        "engine.visualize:visualize_stages",
        "proposals of every stage, or of several models, beside each other (Cascade RPN, Figures "
        "4 and 5; Guided Anchoring, Figure 5)",
        _stages,
        several=True,
        images=True,
    ),
    "sampling": Figure(
        "engine.visualize:visualize_sampling",
        "where plain, dilated, deformable and adaptive convolutions read (Cascade RPN, Figure 3)",
        _sampling,
        images=True,
    ),
    "targets": Figure(
        "engine.visualize:visualize_targets",
        "distribution of the regression targets of every stage (Cascade RPN, Figure 1a), and their "
        "means and standard deviations: the regression statistics of a dataset",
        _targets,
    ),
    "recall": Figure(
        "engine.visualize:visualize_recall",
        "recall against IoU, and average recall against the number of proposals",
        _recall,
        several=True,
    ),
    "anchors": Figure(
        "engine.visualize_guided:visualize_anchors",
        "guided anchors, the probability of a centre, and aspect ratios (Guided Anchoring, "
        "Figure 4)",
        _anchors,
        images=True,
    ),
    "anchor-shapes": Figure(
        "engine.visualize_guided:visualize_anchor_shapes",
        "distribution of scales and aspect ratios of objects, guided anchors and a sliding window "
        "(Guided Anchoring, Figure 6)",
        _anchor_shapes,
    ),
    "iou": Figure(
        "engine.visualize_guided:visualize_iou",
        "how many proposals overlap with an object how well (Guided Anchoring, Figure 3)",
        _iou,
        several=True,
    ),
    "grid": Figure(
        "engine.visualize_grid:visualize_grid",
        "heat maps of the grid points of a detection, and the box that is read from them",
        _grid,
        images=True,
    ),
    "refinement": Figure(
        "engine.visualize_grid:visualize_refinement",
        "a box moving through the stages of a point-guided detector (CPM R-CNN, Figure 3)",
        _refinement,
        images=True,
    ),
    "scores": Figure(
        "engine.visualize_grid:visualize_scores",
        "detections with their scores beside their true IoU (CPM R-CNN, Figures 5 and 6)",
        _scores,
    ),
    "score-iou": Figure(
        "engine.visualize_grid:visualize_score_ious",
        "true IoU of detections over the score of their class and the fused score (CPM R-CNN, "
        "Figure 1)",
        _score_iou,
    ),
    "precision": Figure(
        "analysis.precision:visualize_precision",
        "AP of detectors by IoU threshold, from 0.5 to 0.95, and by the size of objects "
        "(CPM R-CNN, Figure 8), from their evaluations or measured anew",
        _precision,
        several=True,
    ),
}
