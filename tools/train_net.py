#!/usr/bin/env python
"""`cascade-rpn train`, which evaluates with --eval-only, under the name of Detectron2's tools."""

import sys

from cascade_rpn_lite.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("train"))
