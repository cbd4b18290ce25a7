"""Train a plain RPN and a Cascade RPN alike on the demo dataset and show them side by side.

    cascade-rpn demo
    cascade-rpn demo --output-dir output/demo train.max_iter=100

Takes about five minutes on two CPU cores: 650 iterations each. Prints the average recall of both
and draws their proposals on the same test images.
"""

from __future__ import annotations

import argparse

from .arguments import add_options, add_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(
        parser,
        "--output-dir",
        default="output/demo",
        help="folder of both runs and of the figure (default: %(default)s)",
    )
    add_options(parser, "--device")
    add_overrides(parser, of="both configs")


def run(args: argparse.Namespace) -> None:
    """Train both and print the table."""
    from pathlib import Path

    from cascade_rpn_d2.engine import setup_config
    from cascade_rpn_d2.engine.comparison import train_and_compare
    from cascade_rpn_d2.model_zoo import choose_device

    folder = Path(args.output_dir)
    configs = {
        title: setup_config(
            f"demo/{name}.py",
            args.overrides,
            output_dir=str(folder / name),
            device=str(choose_device(args.device)),
        )
        for title, name in {"RPN": "rpn", "Cascade RPN": "cascade_rpn"}.items()
    }
    figure = folder / "proposals.png"
    table = train_and_compare(configs, figure)
    iterations = configs["RPN"].train.max_iter
    print(f"\nAverage recall on the test images after {iterations} iterations each (per cent):\n")
    print(f"{table}\n\nThe proposals of both, drawn: {figure}")
