#!/usr/bin/env python
"""Train a plain RPN and a Cascade RPN alike on the demo dataset and show them side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import cascade_rpn_d2  # noqa: F401  (registers the components)
from cascade_rpn_d2.engine import setup_config
from cascade_rpn_d2.engine.comparison import train_and_compare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=Path("output/demo"))
    parser.add_argument("overrides", nargs="*", help="key=value changes to both configs")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    configs = {
        title: setup_config(
            f"demo/{name}.py",
            args.overrides,
            output_dir=str(args.output_dir / name),
            device=device,
        )
        for title, name in {"RPN": "rpn", "Cascade RPN": "cascade_rpn"}.items()
    }
    picture = args.output_dir / "proposals.png"
    table = train_and_compare(configs, picture)
    iterations = configs["RPN"].train.max_iter
    print(f"\nAverage recall on the test images after {iterations} iterations each (per cent):\n")
    print(f"{table}\n\nThe proposals of both, drawn: {picture}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"demo.py: {error}")
