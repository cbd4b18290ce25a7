"""Evaluate a config with trained weights: the zoo's, those of a file, or those of a run.

    cascade-rpn eval --config-file demo/cascade_rpn.py
    cascade-rpn eval --config-file output/mine/config.yaml
    cascade-rpn eval --config-file output/mine/config.yaml --weights output/mine/model_final.pth \\
        --test-data photos/test:test.json --output-dir output/test
    cascade-rpn eval --config-file my_config.py --weights model_final.pth --tta \\
        "tta.min_sizes=[600,1000,1200]"

The results are printed and written to <output folder>/evaluation.json, or evaluation_tta.json, and
beside it what was found: coco_instances_results.json or coco_proposals_results.json, in the form of
COCO's results. A run's config.yaml knows its test data; without --weights its model_final.pth is
evaluated, and without --output-dir the results are written beside it. Test data without annotations
are predicted and written all the same.
"""

from __future__ import annotations

import argparse

from . import train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    train.add_arguments(parser, evaluates=True)


def run(args: argparse.Namespace) -> None:
    """Evaluate in this process of the run."""
    args.eval_only = True
    train.run(args, find_weights=_weights)


def _weights(args: argparse.Namespace) -> str | None:
    """Those given, the zoo's, or the last of the run that the config is of; None for its own."""
    from cascade_rpn_d2.engine.run_config import weights_beside
    from cascade_rpn_d2.model_zoo import get_checkpoint_file, has_checkpoint

    stated = any(text.lstrip("+").startswith("train.init_checkpoint=") for text in args.overrides)
    if args.weights or args.resume or stated:
        return args.weights
    if has_checkpoint(args.config_file):
        return get_checkpoint_file(args.config_file)
    return weights_beside(args.config_file)
