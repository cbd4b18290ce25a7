"""Everything that is to be measured, in order, and the files that it ends up in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from .. import model_zoo
from ..files.atomic import write_atomically
from .backbone import BACKBONE, backbone_rows, check_backbone
from .case import Case
from .end_to_end import DETECTORS, end_to_end_rows
from .head import head_rows
from .heads import CASCADE_RPN, RPN, channels_of, check_heads
from .location_threshold import GA_RPN, location_threshold_rows
from .op import op_rows
from .plots import write_plots
from .report import markdown, write_json
from .row import Row, missing_row, unmet_demands
from .sparse import sparse_rows
from .timing import Budget
from .train_step import train_step_rows

MODES = ("op", "head", "train-step", "location-threshold", "backbone", "end-to-end")


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        modes: some of :data:`MODES`.
        cases: on what; each mode leaves out those that differ in nothing that concerns it.
        budget: how often.
        channels: of the operator's maps.
        cascade_rpn: config of the Cascade RPN whose head is measured.
        rpn: config of the RPN that it is compared with.
        ga_rpn: config of the GA-RPN that is measured at several thresholds.
        detectors: configs of the whole detectors; the first is their baseline.
        backbone: config of the model whose deformable backbone is measured.
    """

    modes: Sequence[str]
    cases: Sequence[Case]
    budget: Budget = field(default_factory=Budget)
    channels: int = 256
    cascade_rpn: str = CASCADE_RPN
    rpn: str = RPN
    ga_rpn: str = GA_RPN
    detectors: Sequence[str] = DETECTORS
    backbone: str = BACKBONE

    def check(self) -> None:
        """Finds bad names before hours have passed.

        Raises:
            ValueError: if there is no such config or device, or the heads are for different maps,
                or the backbone is not deformable.
        """
        for name in self.detectors:
            model_zoo.get_config_file(name)
        check_heads(self.cascade_rpn, self.rpn)
        channels_of(model_zoo.get_config(self.ga_rpn), self.ga_rpn)
        check_backbone(self.backbone)
        for case in self.cases:
            model_zoo.choose_device(case.device)


def run(
    plan: Plan,
    progress: Callable[[Row], None] = lambda row: None,
    save: Callable[[Sequence[Row]], None] = lambda rows: None,
) -> list[Row]:
    """Measure; returns all rows, those of targets without a measurement last.

    Args:
        plan: what.
        progress: told of every row as soon as it is there.
        save: given all rows so far after every case, so that a run that ends early is not lost, and
            at the end.

    Raises:
        ValueError: if the plan names a config or a device that does not exist.
    """
    plan.check()
    rows: list[Row] = []
    for mode in plan.modes:
        for case in cases_of(mode, plan.cases):
            with case.settings():
                try:
                    for row in rows_of(mode, case, _warmer(plan.budget, case), plan):
                        progress(row)
                        rows.append(row)
                except RuntimeError as error:  # such as too little memory for a reference
                    reason = str(error).splitlines()[0]
                    rows.append(missing_row(mode, "the rest of this case", case, reason))
            save(rows)
    devices = {case.torch_device.type for case in plan.cases}
    rows += unmet_demands(rows, plan.modes, devices)
    # Rows of a mode stand together, whenever they came.
    rows = sorted(rows, key=lambda row: MODES.index(row.mode))
    save(rows)
    return rows


def cases_of(mode: str, cases: Sequence[Case]) -> list[Case]:
    """The cases that differ in something that concerns a mode."""
    unused: dict[str, dict[str, Any]] = {
        "op": {},
        "head": {"boxes": None},
        "train-step": {"boxes": None},
        "location-threshold": {"boxes": None},
        "backbone": {"boxes": None},
        "end-to-end": {"boxes": None, "layout": None},
    }
    return list(dict.fromkeys(replace(case, **unused[mode]) for case in cases))


def rows_of(mode: str, case: Case, budget: Budget, plan: Plan) -> Iterator[Row]:
    """The rows of a mode on a case."""
    if mode == "op":
        yield from op_rows(case, budget, plan.channels)
        yield from sparse_rows(case, budget, plan.channels)
    elif mode == "head":
        yield from head_rows(case, budget, plan.cascade_rpn, plan.rpn)
    elif mode == "train-step":
        yield from train_step_rows(case, budget, plan.cascade_rpn, plan.rpn)
    elif mode == "location-threshold":
        yield from location_threshold_rows(case, budget, plan.ga_rpn)
    elif mode == "backbone":
        yield from backbone_rows(case, budget, plan.backbone)
    else:
        yield from end_to_end_rows(case, budget, plan.detectors)


def write_results(
    folder: Path, environment: dict[str, Any], rows: Sequence[Row], per_level: bool = False
) -> list[Path]:
    """Write benchmark.json, benchmark.md and the pictures; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "benchmark.json", environment, rows)
    text = markdown(environment, rows, per_level)
    write_atomically(folder / "benchmark.md", lambda file: file.write(text.encode()))
    return [folder / "benchmark.json", folder / "benchmark.md", *write_plots(folder, rows)]


def _warmer(budget: Budget, case: Case) -> Budget:
    # The first runs on a GPU load kernels and choose algorithms.
    on_gpu = torch.device(case.device).type == "cuda"
    return replace(budget, warmup=max(3, budget.warmup)) if on_gpu else budget
