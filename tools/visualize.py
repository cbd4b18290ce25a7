#!/usr/bin/env python
"""Draw the pictures of the papers from any config and checkpoint.

    visualize.py stages        --config-file demo/cascade_rpn.py --output stages.png
    visualize.py sampling      --config-file demo/cascade_rpn.py --output sampling.png
    visualize.py targets       --config-file demo/cascade_rpn.py --output targets.png
    visualize.py recall        --model "Cascade RPN" demo/cascade_rpn.py - --output recall.png
    visualize.py anchors       --config-file $run/config.yaml --weights $run/model_final.pth \\
                               --output anchors.png
    visualize.py anchor-shapes --config-file $run/config.yaml --weights $run/model_final.pth \\
                               --output shapes.png
    visualize.py iou           --model GA-RPN $run/config.yaml $run/model_final.pth \\
                               --model RPN $other/config.yaml $other/model_final.pth \\
                               --output iou.png
    visualize.py grid          --config-file $run/config.yaml --weights $run/model_final.pth \\
                               --output grid.png
    visualize.py refinement    --config-file $run/config.yaml --weights $run/model_final.pth \\
                               --output refinement.png
    visualize.py scores        --config-file $run/config.yaml --weights $run/model_final.pth \\
                               --output scores.png
    visualize.py score-iou     --config-file $run/config.yaml --weights $run/model_final.pth \\
                               --output score_iou.png

stages         proposals of every stage, or of several models, beside each other (Cascade RPN,
               Figures 4 and 5; Guided Anchoring, Figure 5)
sampling       where plain, dilated, deformable and adaptive convolutions read (Cascade RPN,
               Figure 3)
targets        distribution of the regression targets of every stage (Cascade RPN, Figure 1a), and
               their means and standard deviations: the regression statistics of a dataset
recall         recall against IoU, and average recall against the number of proposals
anchors        guided anchors, the probability of a centre, and aspect ratios (Guided Anchoring,
               Figure 4)
anchor-shapes  distribution of scales and aspect ratios of objects, guided anchors and a sliding
               window (Guided Anchoring, Figure 6)
iou            how many proposals overlap with an object how well (Guided Anchoring, Figure 3)
grid           heat maps of the grid points of a detection, and the box that is read from them
refinement     a box moving through the stages of a point-guided detector (CPM R-CNN, Figure 3)
scores         detections with their scores beside their true IoU (CPM R-CNN, Figures 5 and 6)
score-iou      true IoU of detections over the score of their class and the fused score (CPM R-CNN,
               Figure 1)

Images are those of the config's test data, of another dataset (--dataset, --data) or, for stages,
sampling, anchors, grid and refinement, one's own (--input). visualize.py COMMAND --help has the
options of each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import cascade_rpn_d2  # noqa: F401  (registers the components)
from cascade_rpn_d2.engine import visualize, visualize_grid, visualize_guided
from cascade_rpn_d2.engine.messages import mendable_message
from cascade_rpn_d2.engine.recall_curves import NUMBERS


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    add = _command(commands, "stages", visualize.visualize_stages, several=True, images=True)
    _add_choice_of_images(add, default=4)
    add("--top", type=_positive, help="proposals of an image (default: 100; own images: 20)")
    add("--width", type=_positive, default=1120, help="pixels of the picture (default: 1120)")

    add = _command(commands, "sampling", visualize.visualize_sampling, images=True)
    add("--image-id", help="id of the dataset's image to show")
    add(
        "--cell",
        action="append",
        help="level,row,column such as p3,10,12, repeatable; default: that of the best proposal",
    )
    add(
        "--deformable",
        nargs=2,
        metavar=("CONFIG", "WEIGHTS"),
        help="a model with a LearnedAlignment, for the panel of the deformable convolution",
    )
    add("--width", type=_positive, default=1000, help="pixels of the picture (default: 1000)")

    add = _command(commands, "targets", visualize.visualize_targets)
    add("--max-images", type=_positive, help="look at the first so many images only")
    add("--first-stage", action="store_true", help="measure stage 1 only, which needs no weights")

    add = _command(commands, "recall", visualize.visualize_recall, several=True)
    add("--at", type=_positive, default=100, help="proposals of the curve over IoU (default: 100)")
    add(
        "--numbers",
        nargs="+",
        type=_positive,
        default=list(NUMBERS),
        help=f"numbers of proposals (default: {' '.join(map(str, NUMBERS))})",
    )
    add("--batch-size", type=_positive, default=4, help="images at once (default: 4)")

    add = _command(commands, "anchors", visualize_guided.visualize_anchors, images=True)
    _add_choice_of_images(add, default=3)
    add("--top", type=_positive, default=50, help="anchors of an image (default: 50)")
    add("--width", type=_positive, default=1120, help="pixels of the picture (default: 1120)")

    add = _command(commands, "anchor-shapes", visualize_guided.visualize_anchor_shapes)
    add("--max-images", type=_positive, help="look at the first so many images only")
    add(
        "--baseline",
        metavar="CONFIG",
        help="config of the sliding window's anchors; default: the model's squares, in the aspect "
        "ratios 0.5, 1 and 2 of an RPN",
    )

    add = _command(commands, "iou", visualize_guided.visualize_iou, several=True)
    add("--limit", type=_positive, default=1000, help="proposals of an image (default: 1000)")
    add("--batch-size", type=_positive, default=4, help="images at once (default: 4)")
    _add_point_guided(commands)
    return parser.parse_args(argv)


def _add_point_guided(commands) -> None:
    """The commands of Grid R-CNN and CPM R-CNN."""
    add = _command(commands, "grid", visualize_grid.visualize_grid, images=True)
    add("--image-id", help="id of the dataset's image to show")
    add(
        "--detection",
        type=_positive,
        help="number of the detection, 1 for the best score; default: the first of an object",
    )
    add("--stage", type=_positive, default=1, help="stage whose maps to draw (default: 1)")
    add("--width", type=_positive, default=1120, help="pixels of the picture (default: 1120)")

    add = _command(commands, "refinement", visualize_grid.visualize_refinement, images=True)
    _add_choice_of_images(add, default=3)
    add(
        "--pick",
        choices=("best", "moved"),
        default="best",
        help="which detection of an object: the one of the best score (default), or the one whose "
        "IoU the stages raise most",
    )
    add("--width", type=_positive, default=1120, help="pixels of the picture (default: 1120)")

    add = _command(commands, "scores", visualize_grid.visualize_scores)
    _add_counted_detections(add)
    add(
        "--min-score",
        type=float,
        default=0.5,
        help="show detections with such a score of the classification (default: 0.5)",
    )
    add("--columns", type=_positive, default=3, help="detections of a row (default: 3)")
    add("--width", type=_positive, default=1120, help="pixels of the picture (default: 1120)")

    add = _command(commands, "score-iou", visualize_grid.visualize_score_ious)
    _add_counted_detections(add)


def _add_counted_detections(add) -> None:
    add("--max-images", type=_positive, help="look at the first so many images only")
    add(
        "--min-iou",
        type=float,
        default=0.5,
        help="a detection that overlaps less is of no object, and not counted (default: 0.5)",
    )


def _command(
    commands,
    name: str,
    run: Callable[..., str],
    *,
    several: bool = False,
    images: bool = False,
):
    """A subcommand with the options that all have; returns its ``add_argument``."""
    parser = commands.add_parser(name)
    parser.set_defaults(run=run)
    add = parser.add_argument
    repeatable = {"action": "append", "default": []} if several else {}
    add(
        "--config-file",
        required=not several,
        help=f"name in the zoo, or path of a LazyConfig{'; repeatable' if several else ''}",
        **repeatable,
    )
    add(
        "--weights",
        help="checkpoint file or URL, - for the zoo's; default: the zoo's"
        + ("; as many as config files, in their order" if several else ""),
        **repeatable,
    )
    if several:
        add(
            "--model",
            nargs=3,
            action="append",
            default=[],
            metavar=("NAME", "CONFIG", "WEIGHTS"),
            help="a model and what to call it, repeatable; WEIGHTS may be - for the zoo's",
        )
    add("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="overrides",
        help="changes to the configs")  # fmt: skip
    source = parser.add_mutually_exclusive_group()
    if images:
        source.add_argument("--input", nargs="+", help="images, folders or patterns of your own")
    source.add_argument("--dataset", help="a registered dataset; default: the config's test data")
    source.add_argument("--data", help="images_dir:annotations.json in COCO format")
    add("--output", required=True, help="file of the picture, *.png or *.jpg")
    add("--device", help="such as cpu or cuda:1; default: a GPU if there is one")
    return add


def _add_choice_of_images(add, default: int) -> None:
    add(
        "--num-images",
        type=_positive,
        default=default,
        help=f"rows of the picture (default: {default})",
    )
    add("--image-ids", nargs="+", help="ids of the dataset's images to show")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and print what came of it."""
    args = vars(parse_args(argv))
    del args["command"]
    print(args.pop("run")(**args))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        message = mendable_message(error)
        if message is None:
            raise
        sys.exit(f"visualize.py: {message}")
