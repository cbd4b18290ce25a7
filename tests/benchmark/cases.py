"""Cases small enough for tests."""

from __future__ import annotations

from cascade_rpn_d2.benchmark import Budget, Case

TINY = Case("cpu", "float32", 1, (64, 96), 1, "contiguous", "trained")
ONE_PAIR = Budget(min_pairs=1, max_pairs=1, seconds=0.0, warmup=0)
