"""Train a Faster R-CNN as it was first trained: RPN and Fast R-CNN in turn, in four steps.

    cascade-rpn train-alternating --config-file faster_rcnn/faster_rcnn_vgg16.py --num-gpus 8
    cascade-rpn train-alternating --config-file demo/faster_rcnn.py --num-gpus 0 train.max_iter=100
    cascade-rpn train-alternating --config-file small/faster_rcnn_r18_fpn_1k.py \\
        --train-data photos/train:train.json --test-data photos/val:val.json \\
        rpn.train.max_iter=2000 fast_rcnn.train.max_iter=1000

Step 1 trains the RPN and step 2 a Fast R-CNN on its proposals, each from train.init_checkpoint and
with a backbone of its own. Step 3 trains an RPN on the backbone of step 2, which is frozen from
then on, and step 4 tunes the heads of step 2 on its proposals (Faster R-CNN, section 3.2). The
output folder has a folder for each, 1_rpn to 4_fast_rcnn, and the detector that they make up as
model_final.pth.

Every step is as long as the config says. A key=value changes all four; rpn.key=value those of the
RPN, and fast_rcnn.key=value those of Fast R-CNN. A command that was stopped goes on where it was
when it is given again, and does no step twice.
"""

from __future__ import annotations

import argparse

from .arguments import (
    LAUNCH,
    READING,
    add_options,
    add_overrides,
    run_arguments,
    take_outside_images,
    take_reading,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, "--config-file", required=True)
    add_options(parser, "--trust-config")
    add_options(
        parser,
        "--weights",
        help="checkpoint file or URL that steps 1 and 2 start from; default: train.init_checkpoint",
    )
    add_options(parser, "--train-data", "--test-data", "--allow-outside-images")
    add_options(parser, *READING, "--no-check", "--max-detections")
    add_options(
        parser,
        "--output-dir",
        help="folder of the detector and of the four steps (default: train.output_dir)",
    )
    add_options(
        parser, "--resume", help="go on where a command was stopped, as it does without this too"
    )
    add_options(parser, *LAUNCH)
    add_overrides(parser)
    parser.set_defaults(train_proposals=None, test_proposals=None)  # each step has its own


def run(args: argparse.Namespace) -> None:
    """Train, in this process of the run, and print the evaluations."""
    from detectron2.utils import comm

    from cascade_rpn_d2.config.alternating import split_overrides
    from cascade_rpn_d2.engine import setup_config
    from cascade_rpn_d2.engine.alternating import train_alternating
    from cascade_rpn_d2.engine.evaluation import results_table
    from cascade_rpn_d2.engine.setup import start_logging

    start_logging()
    take_outside_images(args)
    common, own = split_overrides(args.overrides)
    config = setup_config(
        args.config_file,
        [*take_reading(args, "train", "test"), *common],
        weights=args.weights,
        **run_arguments(args),
    )
    results = train_alternating(config, own)
    if comm.is_main_process():
        for title, metrics in results.items():
            if metrics:
                print(f"\n{title}:\n{results_table(metrics)}")
        print(f"\nThe detector is in {config.train.output_dir}.")
