"""Fine-tune a trained Faster R-CNN on better proposals than its own (Guided Anchoring, 3.5).

The detector loses its RPN, a generator writes proposals for the images of training and test, and
the detector is trained on them for three epochs, at learning rates of 0.02, 0.002 and 0.0002, and
evaluated. All results lie in the output folder. A command that was stopped goes on where it was
when it is given again.

A Faster R-CNN R50-FPN of Detectron2's zoo, on proposals of a GA-RPN that you have trained:

    cascade-rpn finetune --num-gpus 8 \\
        --detector-weights detectron2://COCO-Detection/faster_rcnn_R_50_FPN_1x/137257794/\\
model_final_b275ba.pkl \\
        --generator-config guided_anchoring/ga_rpn_r50_fpn_1x.py \\
        --generator-weights output/guided_anchoring/ga_rpn_r50_fpn_1x/model_final.pth

The zoo's Faster R-CNN on proposals of the zoo's Cascade RPN, with the AP that it had before:

    cascade-rpn finetune --num-gpus 8 --evaluate-before \\
        --config-file \\
        guided_anchoring/finetune_faster_rcnn_with_cascade_rpn_proposals_r50_fpn.py \\
        --detector-config cascade_rpn/faster_rcnn_r50_fpn_1x.py \\
        --generator-config cascade_rpn/cascade_rpn_r50_fpn_1x.py

Two runs of your own on your own data, for 900 iterations:

    cascade-rpn finetune --num-gpus 1 --output-dir output/mine/fine_tuned \\
        --detector-config output/mine/detector/config.yaml \\
        --detector-weights output/mine/detector/model_final.pth \\
        --generator-config output/mine/rpn/config.yaml \\
        --generator-weights output/mine/rpn/model_final.pth \\
        --train-data photos/train:train.json --test-data photos/val:val.json \\
        train.max_iter=900 lr_multiplier.warmup_iters=50 \\
        optimizer.lr=0.0025 dataloader.train.total_batch_size=2

Proposals that `cascade-rpn dump-proposals` has written already:

    cascade-rpn finetune --num-gpus 8 --detector-weights detector.pth \\
        --train-proposals output/train2017.npz --test-proposals output/val2017.npz
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

CONFIG = "guided_anchoring/finetune_faster_rcnn_with_proposals_r50_fpn.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add_options(
        parser,
        "--config-file",
        default=CONFIG,
        help="of the fine-tuning, name or path; default: %(default)s",
    )
    add(
        "--detector-weights",
        metavar="FILE",
        help="checkpoint of the trained detector, file or URL; default: the zoo's for "
        "--detector-config",
    )
    add(
        "--detector-config",
        metavar="CONFIG",
        help="its config, name or path, whose network, image size and format are taken over; "
        "default: those of --config-file, with the regression weights 10 10 5 5 that all Faster "
        "R-CNN of Detectron2's zoo have",
    )
    add(
        "--generator-config",
        metavar="CONFIG",
        help="of what makes the proposals, name or path",
    )
    add(
        "--generator-weights",
        metavar="FILE",
        help="file or URL; default: the zoo's for that config",
    )
    add_options(
        parser,
        "--train-proposals",
        help="without a generator: file of `cascade-rpn dump-proposals` to train on (default: as "
        "the config says)",
    )
    add_options(parser, "--test-proposals", help="likewise, to evaluate on")
    add_options(parser, "--train-data", "--test-data", "--allow-outside-images")
    add_options(parser, *READING, "--no-check", "--max-detections", "--output-dir")
    add(
        "--evaluate-before",
        action="store_true",
        help="also evaluate the detector as it was, with its own proposals",
    )
    add_options(parser, "--trust-config", *LAUNCH)
    add_overrides(parser)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse arguments that do not go together."""
    if args.generator_config and (args.train_proposals or args.test_proposals):
        parser.error("give either a generator or files of proposals")
    if args.generator_weights and not args.generator_config:
        parser.error("--generator-weights takes --generator-config")


def run(args: argparse.Namespace) -> None:
    """Fine-tune, in this process of the run."""
    from detectron2.utils import comm

    from cascade_rpn_d2.engine import setup_config
    from cascade_rpn_d2.engine.evaluation import results_table
    from cascade_rpn_d2.engine.finetune import TrainedDetector, finetune_with_proposals
    from cascade_rpn_d2.engine.model_choices import ModelChoice
    from cascade_rpn_d2.engine.setup import start_logging

    start_logging()
    take_outside_images(args)
    detector = TrainedDetector.choose(args.detector_config, args.detector_weights)
    generator = None
    if args.generator_config:
        generator = ModelChoice("generator", args.generator_config, args.generator_weights)
    config = setup_config(
        args.config_file,
        [*take_reading(args, "train", "test"), *args.overrides],
        adapt=detector.adapt,
        **run_arguments(args),
    )
    results = finetune_with_proposals(
        config, detector, generator, evaluate_before=args.evaluate_before
    )
    if comm.is_main_process():
        for moment, metrics in results.items():
            print(f"\n{moment.capitalize()} the fine-tuning:\n{results_table(metrics)}")
