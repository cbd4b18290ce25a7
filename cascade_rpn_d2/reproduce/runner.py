"""Runs the rows of a table one after the other, each with the same data, budget and seed.

A row that is finished is read and not run again; one that was stopped goes on. Rows of several
tables that are the same experiment share its run.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig

from ..config.overrides import apply_overrides
from ..engine import dump_proposals, setup_config
from ..engine.evaluation import Results
from ..engine.finetune import TrainedDetector, prepare_detector
from ..engine.measurement import Measurement
from ..engine.processes import of_main_process
from ..engine.run_folder import hold_run_folder
from ..engine.run_once import (
    claim,
    evaluate_once,
    fingerprint,
    mark_of,
    measurement_in,
    results_in,
    train_once,
)
from ..engine.setup import start_logging
from .report import Report, write_report
from .scale import Scale
from .table import Row, Table

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What the rows of a table have in common.

    Args:
        scale: how large they are run.
        output_dir: folder of all runs; each has a folder of its own below it.
        train_data: ``images_dir:annotations.json``; None for the data of the scale.
        test_data: the same, to evaluate on.
        overrides: ``key=value`` changes to every config; they come last.
        device: ``"cpu"`` or ``"cuda"``; None for what the config says.
        check_images: look at all images of folders before the first run.
    """

    scale: Scale
    output_dir: Path
    train_data: str | None = None
    test_data: str | None = None
    overrides: Sequence[str] = field(default=())
    device: str | None = None
    check_images: bool = True

    def config(self, name: str) -> DictConfig:
        """An experiment of the zoo as it is run here; see :meth:`row_config`."""
        return self.row_config(Row(name, name, ()))

    def row_config(self, row: Row) -> DictConfig:
        """The experiment of a row as it is run here.

        Its overrides are a part of the experiment, as if its config had the values: the scale
        changes what it makes of them, and :attr:`overrides` come last.

        Raises:
            ValueError, OSError: as :func:`~cascade_rpn_d2.engine.setup_config`.
        """
        own_data = self.train_data is not None

        def adapt(config: DictConfig) -> None:
            apply_overrides(config, row.overrides)
            self.scale.adapt(config, own_data)
            config.train.seed = self.scale.seed
            # Every row is measured after its last iteration, and none is chosen by its result.
            config.train.eval_period = 0
            config.train.best_checkpoint = None

        folder = str(self.row_dir(row))
        config = setup_config(
            row.config or "",
            self.overrides,
            train_data=self.train_data,
            test_data=self.test_data,
            train_proposals=self._proposal_file(row.proposals, "train"),
            test_proposals=self._proposal_file(row.proposals, "test"),
            output_dir=folder,
            device=self.device,
            tta=row.tta,
            adapt=adapt,
            check_images=("train", "test") if self.check_images else (),
        )
        config.train.output_dir = folder  # whatever the overrides say
        return config

    def fingerprint(self, row: Row) -> str:
        """What decides the outcome of a row's run: see :mod:`..engine.run_once`."""
        config = self.row_config(row)
        if row.proposals:
            # Not where the files lie, but what made them.
            made_by = fingerprint(self.config(row.proposals))
            for part in ("train", "test"):
                config.dataloader[part].dataset.proposal_files = [made_by]
        starts_from = row.weights or row.fine_tunes
        if starts_from:
            config.train.init_checkpoint = fingerprint(self.config(starts_from))
        return fingerprint(config)

    def _proposal_file(self, name: str | None, part: str) -> str | None:
        return None if name is None else str(self.run_dir(name) / f"proposals_{part}.npz")

    def run_dir(self, name: str) -> Path:
        """The folder of the run of an experiment."""
        return self.output_dir / Path(name).with_suffix("")

    def row_dir(self, row: Row) -> Path:
        """The folder of the run of a row: that of its config, the overrides added to its name."""
        folder = self.run_dir(row.config or "")
        # Of characters that a path may have as the value of an override.
        overrides = [re.sub(r"[^\w.+-]", "_", o.replace("=", "-")) for o in row.overrides]
        return folder.with_name("+".join([folder.name, *overrides]))


def reproduce(key: str, table: Table, setting: Setting, rows: Sequence[str] = ()) -> Report:
    """Train and evaluate rows of a table in turn, and write the table beside the paper's.

    The table is written after every row as ``<output_dir>/<key>.md``, ``.json`` and ``.png``. Rows
    that an earlier call has run in the same setting keep their numbers.

    Args:
        key: ``project/table``.
        table: the table.
        setting: what the rows have in common.
        rows: names or numbers of the rows to run; all by default.

    Returns:
        The report, rows without a run included.

    Raises:
        ValueError: for an unknown row, or a run of another experiment in a row's folder.
        OSError, FloatingPointError: as :func:`~cascade_rpn_d2.engine.train`.
    """
    chosen = table.choose(rows)
    # Of all rows before the first is run: a misprint shows at once.
    marks = {row: setting.fingerprint(row) for row in table.choose()}
    for row in chosen:
        start_logging()
        logger.info("%s, row '%s': %s", key, row.name, row.experiment)
        run(row, setting, marks[row])
        of_main_process(
            lambda: write_report(report(key, table, setting, marks), setting.output_dir)
        )
    return report(key, table, setting, marks)


def report(key: str, table: Table, setting: Setting, marks: Mapping[Row, str]) -> Report:
    """The table with the numbers of all finished runs that are of this setting.

    Args:
        key: ``project/table``.
        table: the table.
        setting: what the rows have in common.
        marks: fingerprint of every row that can be run.
    """
    measured: dict[Row, Results] = {}
    measurements: dict[Row, Measurement] = {}
    for row, mark in marks.items():
        folder = setting.row_dir(row)
        found = results_in(folder, tta=row.tta) if mark_of(folder) == mark else None
        if found is not None:
            measured[row] = found
        made_on = None if found is None else measurement_in(folder, tta=row.tta)
        if made_on is not None:
            measurements[row] = made_on
    options = setting.row_config(next(iter(marks))).train
    scale = setting.scale.name
    return Report(key, table, scale, options.max_iter, options.seed, measured, measurements)


def run(row: Row, setting: Setting, mark: str) -> None:
    """Run a row, and before it the rows that it takes proposals or weights from.

    Args:
        row: what to run.
        setting: what the rows have in common.
        mark: fingerprint of the row.
    """
    config = setting.row_config(row)
    if row.proposals:
        generator = setting.config(row.proposals)
        train_once(generator, fingerprint(generator))
        dump(generator, config, row.proposals)
    if row.weights:
        evaluate_once(config, mark, _trained(row.weights, setting).weights, tta=row.tta)
        return
    if row.fine_tunes:
        detector = _trained(row.fine_tunes, setting)
        folder = Path(config.train.output_dir)
        with hold_run_folder(folder):
            claim(folder, mark)
            config.train.init_checkpoint = str(folder / "detector.pth")
            of_main_process(lambda: prepare_detector(config, detector))
            train_once(config, mark)
        return
    train_once(config, mark)


def _trained(name: str, setting: Setting) -> TrainedDetector:
    """An experiment after its training."""
    config = setting.config(name)
    train_once(config, fingerprint(config))
    return TrainedDetector(f"{config.train.output_dir}/model_final.pth", config)


def dump(generator: DictConfig, detector: DictConfig, name: str) -> None:
    """Write the proposals of a finished run where a detector reads them, unless they are there.

    Args:
        generator: config of the run.
        detector: config whose ``dataloader.{train,test}.dataset`` names datasets and files.
        name: how the files are to call the generator's config.
    """
    start_logging()
    for part in ("train", "test"):
        dataset = detector.dataloader[part].dataset
        (file,) = dataset.proposal_files
        if not of_main_process(Path(file).is_file):
            weights = f"{generator.train.output_dir}/model_final.pth"
            device = generator.train.device
            dump_proposals(generator, weights, dataset.names, file, config_name=name, device=device)
