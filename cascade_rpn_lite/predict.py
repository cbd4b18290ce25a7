"""Draw the boxes of a model on images and videos, and write them as json.

    cascade-rpn predict --config-file demo/cascade_rpn.py --input photos/ --output drawn/
    cascade-rpn predict --config-file output/mine/config.yaml \\
        --weights output/mine/model_final.pth --input clip.mp4 --output drawn/ --json boxes.json

Input may be files, folders, patterns and videos; what cannot be read is skipped and counted.

The json is a list like COCO's results: image_id (a number from 1 in the order of reading),
file_name, frame (of a video, from 0), category_id, bbox (x, y, width, height in pixels) and score.
Models of proposals have no classes: category_id is 1, and the score is the sigmoid of the
objectness.

Exit status: 0 if something could be read, 1 if nothing could or the run failed, 2 if the arguments
cannot be parsed.
"""

from __future__ import annotations

import argparse

from .arguments import READING, add_options, add_overrides, take_reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, "--config-file", required=True)
    add_options(parser, "--trust-config", "--weights")
    add_options(parser, "--input", required=True, help="images, folders, patterns, videos")
    add_options(
        parser,
        "--output",
        required=True,
        metavar="FOLDER",
        help="folder for the images and videos with boxes",
    )
    parser.add_argument("--json", metavar="FILE", help="file for the boxes")
    add_options(parser, "--top-k", default=100, help="maximum number of boxes per image "
        "(default: %(default)s)")  # fmt: skip
    add_options(
        parser,
        "--score-threshold",
        help="minimum score of a box (default: 0.5, for proposals 0)",
    )
    add_options(parser, *READING, "--batch-size", "--device")
    add_overrides(parser)


def run(args: argparse.Namespace) -> int:
    """Predict; returns 1 if nothing could be read."""
    from cascade_rpn_d2.data.images import find_sources
    from cascade_rpn_d2.engine.predict_files import predict_files
    from cascade_rpn_d2.engine.predictor import load_predictor

    sources = find_sources(args.input, exclude=args.output)
    predictor, categories = load_predictor(
        args.config_file,
        args.weights,
        overrides=[*take_reading(args, "test"), *args.overrides],
        device=args.device,
    )
    summary = predict_files(
        predictor,
        sources,
        args.output,
        json_path=args.json,
        batch_size=args.batch_size,
        score_threshold=args.score_threshold,
        top_k=args.top_k,
        categories=categories,
    )
    print(
        f"{summary.boxes} boxes on {summary.frames} images in {args.output}; "
        f"{len(summary.skipped)} of {len(sources)} inputs could not be read."
    )
    return 0 if summary.frames else 1
