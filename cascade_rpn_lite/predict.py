"""Draw the boxes of a model on images and videos, and write them as json.

    cascade-rpn predict --config-file demo/cascade_rpn.py --input photos/ --output drawn/
    cascade-rpn predict --config-file output/mine/config.yaml \\
        --weights output/mine/model_final.pth --input clip.mp4 --output drawn/ --json boxes.json
    cascade-rpn predict --config-file output/mine/config.yaml \\
        --weights output/mine/model_final.pth --input photos/val:val.json --output drawn/ \\
        --json results.json --score-threshold 0
    cascade-rpn predict --config-file output/mine/config.yaml \\
        --weights output/mine/model_final.pth --input photos/ --output drawn/ \\
        --json labels.json --format coco-dataset

Input may be files, folders, patterns and videos; what cannot be read is skipped and counted. Of
images_dir:annotations.json, in COCO format, the json takes the ids of images and categories, the
latter by name and as numbers, also where the file has texts such as "1"; an image that has several
ids is written under each. Otherwise images are numbered from 1 in the order of reading, and
categories have the ids of the data that the model was trained on, such as COCO's 1 to 90.

The json is a list of COCO's results, for pycocotools and evaluation servers: image_id, file_name,
frame (of a video, from 0), category_id, bbox (x, y, width, height in pixels) and score. For average
precision it takes all boxes: give --score-threshold 0. With --format coco-dataset it is a dataset
(images, categories, annotations with a score), which annotation tools import and --train-data
reads; file names in it are relative to the input folder. Models of proposals have no classes:
category_id is 1, and the score is the sigmoid of the objectness.

Exit status: 0 if something could be read, 1 if nothing could or the run failed, 2 if the arguments
cannot be parsed.
"""

from __future__ import annotations

import argparse

from .arguments import READING, add_options, add_overrides, take_outside_images, take_reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, "--config-file", required=True)
    add_options(parser, "--trust-config", "--weights")
    add_options(parser, "--input", required=True, help="images, folders, patterns, videos, or one "
        "images_dir:annotations.json")  # fmt: skip
    add_options(parser, "--allow-outside-images")
    add_options(
        parser,
        "--output",
        required=True,
        metavar="FOLDER",
        help="folder for the images and videos with boxes",
    )
    parser.add_argument("--json", metavar="FILE", help="file for the boxes")
    add_options(
        parser, "--format", choices=["coco-results", "coco-dataset"], default="coco-results"
    )
    add_options(parser, "--top-k", default=100, help="maximum number of boxes per image "
        "(default: %(default)s)")  # fmt: skip
    add_options(
        parser,
        "--score-threshold",
        help="minimum score of a box (default: 0.5, for proposals 0)",
    )
    add_options(parser, *READING, "--batch-size", "--device")
    add_overrides(parser)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse arguments that do not go together."""
    if args.format == "coco-dataset" and not args.json:
        parser.error("--format is of the file that --json names: give --json too")


def run(args: argparse.Namespace) -> int:
    """Predict; returns 1 if nothing could be read."""
    take_outside_images(args)
    from cascade_rpn_d2.engine.predict_files import predict_files
    from cascade_rpn_d2.engine.predict_inputs import find_inputs
    from cascade_rpn_d2.engine.predictor import load_predictor

    inputs = find_inputs(args.input, exclude=args.output)
    predictor, categories = load_predictor(
        args.config_file,
        args.weights,
        overrides=[*take_reading(args, "test"), *args.overrides],
        device=args.device,
        at_least=args.top_k,
    )
    summary = predict_files(
        predictor,
        inputs,
        args.output,
        json_path=args.json,
        file_format=args.format,
        batch_size=args.batch_size,
        score_threshold=args.score_threshold,
        top_k=args.top_k,
        categories=categories,
    )
    print(
        f"{summary.boxes} boxes on {summary.frames} images in {args.output}; "
        f"{len(summary.skipped)} of {len(inputs.sources)} inputs could not be read."
    )
    if summary.frames and not summary.boxes and summary.least_score > 0:
        print(
            f"No box reached the score of {summary.least_score:g}: give a lower --score-threshold."
        )
    if args.format == "coco-dataset":
        print(f"As data of other commands the boxes are {inputs.root}:{args.json}")
    return 0 if summary.frames else 1
