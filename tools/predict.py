#!/usr/bin/env python
"""Draw the boxes of a model on images and videos, and write them as json.

    python tools/predict.py --config-file demo/cascade_rpn.py --input photos/ --output drawn/

Input may be files, folders, patterns and videos; what cannot be read is skipped and counted.

The json is a list like COCO's results: image_id (a number from 1 in the order of reading),
file_name, frame (of a video, from 0), category_id, bbox (x, y, width, height in pixels) and score.
Models of proposals have no classes: category_id is 1, and the score is the sigmoid of the
objectness.

Exit status: 0 if something could be read, 1 if nothing could, 2 if the arguments do not work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cascade_rpn_d2.data.images import find_sources
from cascade_rpn_d2.engine.predict_files import predict_files
from cascade_rpn_d2.engine.predictor import load_predictor


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", required=True, help="name in the zoo, or path of a LazyConfig")
    add("--weights", help="checkpoint file or URL; default: the zoo's for that config")
    add("--input", required=True, nargs="+", help="images, folders, patterns, videos")
    add("--output", required=True, help="folder for the pictures and videos")
    add("--json", help="file for the boxes")
    add("--batch-size", type=_positive, default=4, help="images at once (default: 4)")
    add(
        "--score-threshold",
        type=float,
        help="least score of a box (default: 0.5, for proposals 0)",
    )
    add("--top-k", type=_positive, default=100, help="most boxes of an image (default: 100)")
    add("--device", help="such as cpu or cuda:1; default: a GPU if there is one")
    add("overrides", nargs="*", help="key=value changes to the config; put no --input before them")
    return parser.parse_intermixed_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = parse_args(argv)
    try:
        sources = find_sources(args.input, exclude=args.output)
        predictor, categories = load_predictor(
            args.config_file, args.weights, overrides=args.overrides, device=args.device
        )
        summary = predict_files(
            predictor,
            sources,
            args.output,
            json_path=args.json,
            batch_size=args.batch_size,
            min_score=args.score_threshold,
            limit=args.top_k,
            categories=categories,
        )
    except (OSError, ValueError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    print(
        f"{summary.boxes} boxes on {summary.frames} images in {args.output}; "
        f"{len(summary.skipped)} of {len(sources)} inputs could not be read."
    )
    return 0 if summary.frames else 1


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
