#!/usr/bin/env python
"""Convert a checkpoint of mmdet or of the authors of Cascade RPN for a config of ours.

    python tools/convert_checkpoint.py crpn_faster_rcnn_r50_caffe_fpn_1x_coco-c8283cca.pth \\
        crpn_faster_rcnn.pth --config-file cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py

    python tools/convert_checkpoint.py my_mmdet_model.pth my_model.pth \\
        --config-file cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py \\
        model.roi_heads.num_classes=3

Exit status: 0 if the file is written, 1 if it cannot be converted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cascade_rpn_d2.checkpoint import check_destination, convert_checkpoint, write_conversion
from cascade_rpn_d2.engine.messages import mendable_message
from cascade_rpn_d2.model_zoo import apply_overrides, get_config, instantiate_model


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("src", help="checkpoint to convert")
    add("dst", help="file to write, *.pth")
    add("--config-file", required=True, help="name in the zoo, or path of a LazyConfig")
    add("overrides", nargs="*", help="key=value changes to the config")
    return parser.parse_intermixed_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    check_destination(args.dst, args.src)
    config = apply_overrides(get_config(args.config_file), args.overrides)
    model = instantiate_model(config, args.config_file)
    conversion = convert_checkpoint(args.src, model)
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
