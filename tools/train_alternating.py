#!/usr/bin/env python
"""`cascade-rpn train-alternating`."""

import sys

from cascade_rpn_lite.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("train-alternating"))
