#!/usr/bin/env python
"""Write the proposals of every image of a dataset to a file, for Fast R-CNN to be trained on.

    dump_proposals.py --config-file cascade_rpn/cascade_rpn_r50_fpn_1x.py \\
        --weights output/cascade_rpn/cascade_rpn_r50_fpn_1x/model_final.pth --num-gpus 8 \\
        --dataset coco_2017_train --output output/proposals_train2017.npz
    dump_proposals.py --config-file output/mine/config.yaml --weights output/mine/model_final.pth \\
        --dataset photos/train:train.json --output output/mine/train.npz --num-gpus 0
    torchrun --nproc-per-node 8 dump_proposals.py --config-file ...

The config may be of proposals alone or of a detector with a proposal generator. Images without
annotations are among those written. A run that was interrupted goes on when it is started again,
with any number of processes; until then what is done lies in the folder <output>.parts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

import cascade_rpn_d2  # noqa: F401  (registers the components)
from cascade_rpn_d2.engine import dump_proposals
from cascade_rpn_d2.engine.command import run_command
from cascade_rpn_d2.engine.setup import start_logging
from cascade_rpn_d2.model_zoo import apply_overrides, find_weights, get_config


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", required=True, help="name in the zoo, or path of a LazyConfig")
    add("--weights", help="checkpoint file or URL; default: the zoo's for that config")
    add(
        "--dataset",
        required=True,
        help="name of a registered dataset, or images_dir:annotations.json in COCO format",
    )
    add("--output", required=True, help="the file to write, ending in .npz")
    add("--topk", type=int, help="most proposals of an image (default: all the generator gives)")
    add(
        "--format",
        choices=["npz", "detectron2"],
        default="npz",
        help="detectron2: a pickle for Detectron2's own tools, ending in .pkl (default: npz)",
    )
    add("--overwrite", action="store_true", help="replace the output if it exists")
    add("--num-gpus", type=int, default=int(torch.cuda.is_available()), help="of this machine")
    add("--num-machines", type=int, default=1, help="default: 1")
    add("--machine-rank", type=int, default=0, help="which of the machines this is, from 0")
    add("--dist-url", default="auto", help="where several machines meet, tcp://<first>:<port>")
    add("overrides", nargs="*", help="key=value changes to the config")
    return parser.parse_intermixed_args(argv)


def main(args: argparse.Namespace) -> None:
    start_logging()
    dump_proposals(
        apply_overrides(get_config(args.config_file), args.overrides),
        find_weights(args.config_file, args.weights),
        args.dataset,
        args.output,
        config_name=args.config_file,
        topk=args.topk,
        device="cpu" if args.num_gpus == 0 else None,
        as_pickle=args.format == "detectron2",
        overwrite=args.overwrite,
    )


if __name__ == "__main__":
    run_command("dump_proposals.py", main, parse_args())
