"""Runs the rows of a table one after the other, each with the same data, budget and seed.

A row that is finished is read and not run again; one that was stopped goes on. Rows of several
tables that are the same experiment share its run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detectron2.config import LazyConfig
from detectron2.utils import comm
from omegaconf import DictConfig

from ..checkpoint import write_atomically
from ..engine import dump_proposals, setup_config, train
from ..engine.evaluation import Results
from ..engine.processes import of_main_process
from .report import Report, write_report
from .scale import Scale
from .table import Row, Table

logger = logging.getLogger(__name__)

_FINGERPRINT = "experiment.sha256"


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
    """

    scale: Scale
    output_dir: Path
    train_data: str | None = None
    test_data: str | None = None
    overrides: Sequence[str] = field(default=())
    device: str | None = None

    def config(self, name: str, proposals: str | None = None) -> DictConfig:
        """An experiment of the zoo as it is run here.

        Args:
            name: of the experiment.
            proposals: name of the experiment whose proposals it reads, for a Fast R-CNN.

        Raises:
            ValueError, OSError: as :func:`~cascade_rpn_d2.engine.setup_config`.
        """
        own_data = self.train_data is not None

        def adapt(config: DictConfig) -> None:
            self.scale.adapt(config, own_data)
            config.train.seed = self.scale.seed
            # Every row is measured after its last iteration, and none is chosen by its result.
            config.train.eval_period = 0
            config.train.best_checkpoint = None

        return setup_config(
            name,
            self.overrides,
            train_data=self.train_data,
            test_data=self.test_data,
            train_proposals=self._proposal_file(proposals, "train"),
            test_proposals=self._proposal_file(proposals, "test"),
            output_dir=str(self.run_dir(name)),
            device=self.device,
            adapt=adapt,
        )

    def _proposal_file(self, name: str | None, part: str) -> str | None:
        return None if name is None else str(self.run_dir(name) / f"proposals_{part}.npz")

    def run_dir(self, name: str) -> Path:
        """The folder of the run of an experiment."""
        return self.output_dir / Path(name).with_suffix("")


def reproduce(key: str, table: Table, setting: Setting, rows: Sequence[str] = ()) -> Report:
    """Train and evaluate rows of a table in turn, and write the table beside the paper's.

    The table is written after every row as ``<output_dir>/<key>.md``, ``.json`` and ``.png``, in
    which rows run earlier keep their numbers.

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
    # All before the first is run: a misprint shows at once.
    configs = {row: setting.config(row.config or "", row.proposals) for row in chosen}
    generators = {row: setting.config(row.proposals) for row in chosen if row.proposals}
    options = configs[chosen[0]].train
    for row in chosen:
        logger.info("%s, row '%s': %s", key, row.name, row.config)
        if row in generators:
            run(generators[row])
            dump(generators[row], configs[row], row.proposals or "")
        run(configs[row])
        if comm.is_main_process():
            write_report(report(key, table, setting, options), setting.output_dir)
        comm.synchronize()
    return report(key, table, setting, options)


def report(key: str, table: Table, setting: Setting, options: DictConfig) -> Report:
    """The table with the numbers of all runs that are finished in the setting's folder.

    Args:
        key: ``project/table``.
        table: the table.
        setting: what the rows have in common.
        options: ``train`` of one of the runs.
    """
    measured: dict[Row, Results] = {}
    for row in table.rows:
        if row.config is not None:
            found = finished(setting.run_dir(row.config))
            if found is not None:
                measured[row] = found
    return Report(key, table, setting.scale.name, options.max_iter, options.seed, measured)


def run(config: DictConfig) -> None:
    """Train and evaluate an experiment unless that is done, going on where it was stopped.

    Raises:
        ValueError: if its folder holds a run of another experiment.
    """
    folder = Path(config.train.output_dir)
    if comm.is_main_process():
        _claim(folder, fingerprint(config))
    comm.synchronize()
    done = finished(folder) is not None
    comm.synchronize()  # before any process can have finished it
    if not done:
        train(config, resume=True)


def dump(generator: DictConfig, detector: DictConfig, name: str) -> None:
    """Write the proposals of a finished run where a detector reads them, unless they are there.

    Args:
        generator: config of the run.
        detector: config whose ``dataloader.{train,test}.dataset`` names datasets and files.
        name: how the files are to call the generator's config.
    """
    for part in ("train", "test"):
        dataset = detector.dataloader[part].dataset
        (file,) = dataset.proposal_files
        if not of_main_process(Path(file).is_file):
            weights = f"{generator.train.output_dir}/model_final.pth"
            device = generator.train.device
            dump_proposals(generator, weights, dataset.names, file, config_name=name, device=device)


def finished(folder: Path) -> Results | None:
    """The final evaluation of a run, None if it has none yet."""
    file = folder / "evaluation_final.json"
    return json.loads(file.read_text()) if file.is_file() else None


def fingerprint(config: DictConfig) -> str:
    """SHA-256 of what decides the outcome of a run: its config, but for where it is run."""
    config = config.copy()
    config.train.output_dir, config.train.device = "", ""
    for part in ("train", "test"):
        if "proposal_files" in config.dataloader[part].dataset:
            config.dataloader[part].dataset.proposal_files = None  # where a folder of ours lies
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        LazyConfig.save(config, str(file))
        return hashlib.sha256(file.read_bytes()).hexdigest()


def _claim(folder: Path, mark: str) -> None:
    file = folder / _FINGERPRINT
    if file.is_file() and file.read_text() != mark:
        raise ValueError(
            f"{folder} holds a run with another config: give another --output-dir, or remove it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, lambda out: out.write(mark.encode()))
