#!/usr/bin/env python
"""Convert a checkpoint of mmdet, or of a paper's authors, for a config of ours.

    python tools/convert_checkpoint.py crpn_faster_rcnn_r50_caffe_fpn_1x_coco-c8283cca.pth \\
        crpn_faster_rcnn.pth --config-file cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py

    python tools/convert_checkpoint.py my_mmdet_model.pth my_model.pth \\
        --config-file cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py \\
        model.roi_heads.num_classes=3

    python tools/convert_checkpoint.py ga_rpn_r50_caffe_fpn_1x_coco_20200531-899008a6.pth \\
        ga_rpn.pth --config-file guided_anchoring/ga_rpn_r50_fpn_1x.py --dataset coco_2017_val

    python tools/convert_checkpoint.py model_latest.pth cpm_rcnn.pth \\
        --config-file cpm_rcnn/authors/cpm_rcnn_r50_fpn_2x.py

The authors are those of Cascade RPN, Grid R-CNN Plus and CPM R-CNN. Weights fit the coordinates of
the code they were trained with: mmdet's since 2.0 those of the configs themselves, the authors' and
mmdet 1.x's those of the folders authors/.

mmdet >= 2.0 trains the location branch of Guided Anchoring with labels exchanged: its probability
is one where no object has its centre. Such a branch is turned round (its weight and bias negated)
where images show it, those of --dataset or else pictures that are drawn; what was seen and done is
printed. Where they do not tell, it is kept, which costs time at test but no recall. To compare with
mmdet number by number, use --location-polarity keep.

Exit status: 0 if the file is written, 1 if it cannot be converted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import get_args

from cascade_rpn_d2.checkpoint import (
    PolarityChoice,
    check_destination,
    convert_checkpoint,
    write_conversion,
)
from cascade_rpn_d2.engine.location_evidence import measure_on_dataset
from cascade_rpn_d2.engine.messages import mendable_message
from cascade_rpn_d2.model_zoo import (
    apply_overrides,
    get_config,
    instantiate_model,
    measure_on_drawn_pictures,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("src", help="checkpoint to convert")
    add("dst", help="file to write, *.pth")
    add("--config-file", required=True, help="name in the zoo, or path of a LazyConfig")
    add(
        "--location-polarity",
        choices=get_args(PolarityChoice),
        default="auto",
        help="keep or flip the location branch of Guided Anchoring (default: as images show)",
    )
    add(
        "--dataset",
        help="what shows it: a registered dataset, or images_dir:annotations.json in COCO format, "
        "of which 50 images are taken (default: drawn pictures)",
    )
    add("overrides", nargs="*", help="key=value changes to the config")
    return parser.parse_intermixed_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    check_destination(args.dst, args.src)
    config = apply_overrides(get_config(args.config_file), args.overrides)
    model = instantiate_model(config, args.config_file)
    measure = (
        measure_on_dataset(config, args.dataset)
        if args.dataset
        else measure_on_drawn_pictures(config)
    )
    conversion = convert_checkpoint(
        args.src, model, location_polarity=args.location_polarity, measure=measure
    )
    write_conversion(conversion, args.dst)
    print(conversion.report())
    print(f"Wrote {args.dst}.")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        message = mendable_message(error)
        if message is None:
            raise
        sys.exit(f"convert_checkpoint.py: {message}")
