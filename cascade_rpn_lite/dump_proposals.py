"""Write the proposals of every image of a dataset to a file, for Fast R-CNN to be trained on.

    cascade-rpn dump-proposals --config-file cascade_rpn/cascade_rpn_r50_fpn_1x.py \\
        --weights output/cascade_rpn/cascade_rpn_r50_fpn_1x/model_final.pth --num-gpus 8 \\
        --data coco_2017_train --output output/proposals_train2017.npz
    cascade-rpn dump-proposals --config-file output/mine/config.yaml \\
        --weights output/mine/model_final.pth --data photos/train:train.json \\
        --output output/mine/train.npz --num-gpus 0
    torchrun --nproc-per-node 8 --no-python cascade-rpn dump-proposals --config-file ...

The config may be of proposals alone or of a detector with a proposal generator. Images without
annotations are among those written. A run that was interrupted goes on when it is started again,
with any number of processes; until then what is done lies in the folder <output>.parts.
"""

from __future__ import annotations

import argparse

from .arguments import (
    LAUNCH,
    READING,
    add_options,
    add_overrides,
    take_outside_images,
    take_reading,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, "--config-file", required=True)
    add_options(parser, "--trust-config", "--weights")
    add_options(parser, "--data", required=True)
    add_options(parser, "--allow-outside-images")
    add_options(parser, "--output", required=True, help="the file to write, ending in .npz")
    add_options(
        parser,
        "--top-k",
        help="maximum number of proposals per image (default: all the generator gives)",
    )
    add_options(
        parser,
        "--format",
        choices=["npz", "detectron2"],
        default="npz",
        help="detectron2: a pickle for Detectron2's own tools, ending in .pkl (default: npz)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    add_options(parser, *READING, "--no-check", *LAUNCH)
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    """Dump, in this process of the run."""
    from cascade_rpn_d2.engine import dump_proposals
    from cascade_rpn_d2.engine.setup import start_logging
    from cascade_rpn_d2.model_zoo import apply_overrides, find_weights, get_config

    reading = take_reading(args, "test")
    start_logging()
    take_outside_images(args)
    dump_proposals(
        apply_overrides(get_config(args.config_file), [*reading, *args.overrides]),
        find_weights(args.config_file, args.weights),
        args.data,
        args.output,
        config_name=args.config_file,
        topk=args.top_k,
        device="cpu" if args.num_gpus == 0 else None,
        as_pickle=args.format == "detectron2",
        overwrite=args.overwrite,
        check_images=not args.no_check,
    )
