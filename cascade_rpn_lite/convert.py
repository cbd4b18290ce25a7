"""Convert a checkpoint of mmdet, or of a paper's authors, for a config of ours.

    cascade-rpn convert crpn_faster_rcnn_r50_caffe_fpn_1x_coco-c8283cca.pth \\
        crpn_faster_rcnn.pth --config-file cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py

    cascade-rpn convert my_mmdet_model.pth my_model.pth \\
        --config-file cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py \\
        model.roi_heads.num_classes=3

    cascade-rpn convert ga_rpn_r50_caffe_fpn_1x_coco_20200531-899008a6.pth \\
        ga_rpn.pth --config-file guided_anchoring/ga_rpn_r50_fpn_1x.py --data coco_2017_val

    cascade-rpn convert model_latest.pth cpm_rcnn.pth \\
        --config-file cpm_rcnn/authors/cpm_rcnn_r50_fpn_2x.py

The authors are those of Cascade RPN, Grid R-CNN Plus and CPM R-CNN. Weights fit the coordinates of
the code they were trained with: mmdet's since 2.0 those of the configs themselves, the authors' and
mmdet 1.x's those of the folders authors/.

mmdet >= 2.0 trains the location branch of Guided Anchoring with labels exchanged: its probability
is one where no object has its centre. Such a branch is turned round (its weight and bias negated)
where images show it, those of --data or else synthetic images; what was seen and done is
printed. Where they do not tell, it is kept, which costs time at test but no recall. To compare with
mmdet number by number, use --location-polarity keep.
"""

from __future__ import annotations

import argparse

from .arguments import DATA, add_options, add_overrides, take_outside_images

# Of checkpoint.PolarityChoice.
POLARITIES = ("auto", "keep", "flip")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("src", help="checkpoint to convert")
    parser.add_argument("dst", help="file to write, *.pth")
    add_options(parser, "--config-file", required=True)
    parser.add_argument(
        "--location-polarity",
        choices=POLARITIES,
        default="auto",
        help="keep or flip the location branch of Guided Anchoring (default: as images show)",
    )
    add_options(
        parser,
        "--data",
        help=f"what shows it: {DATA}, of which 50 images are taken (default: synthetic images)",
    )
    add_options(parser, "--allow-outside-images")
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    """Convert, and print what was done."""
    from cascade_rpn_d2.checkpoint import check_destination, convert_checkpoint, write_conversion
    from cascade_rpn_d2.engine.location_evidence import measure_on_dataset
    from cascade_rpn_d2.model_zoo import (
        apply_overrides,
        get_config,
        instantiate_model,
        measure_on_drawn_pictures,
    )

    check_destination(args.dst, args.src)
    take_outside_images(args)
    config = apply_overrides(get_config(args.config_file), args.overrides)
    model = instantiate_model(config, args.config_file)
    measure = (
        measure_on_dataset(config, args.data) if args.data else measure_on_drawn_pictures(config)
    )
    conversion = convert_checkpoint(
        args.src, model, location_polarity=args.location_polarity, measure=measure
    )
    write_conversion(conversion, args.dst)
    print(conversion.report())
    print(f"Wrote {args.dst}.")
