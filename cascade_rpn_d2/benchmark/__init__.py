"""How fast the operator, the heads and the detectors are, in units of what everyone knows."""

from .case import BOXES, DTYPES, LAYOUTS, Case, all_cases
from .environment import environment
from .report import markdown, read_json, tables, write_json
from .row import Row
from .runner import MODES, Plan, run, write_results
from .targets import TARGETS, Target
from .timing import Budget, Comparison, PairTimes, time_pairs

__all__ = [
    "BOXES",
    "DTYPES",
    "LAYOUTS",
    "MODES",
    "TARGETS",
    "Budget",
    "Case",
    "Comparison",
    "PairTimes",
    "Plan",
    "Row",
    "Target",
    "all_cases",
    "environment",
    "markdown",
    "read_json",
    "run",
    "tables",
    "time_pairs",
    "write_json",
    "write_results",
]
