"""Runs that are not done twice: one that is finished is read, one that was stopped goes on.

The folder of a run bears a mark, a hash of all that decides its outcome, so that no other
experiment goes on with its checkpoints.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import tempfile
from pathlib import Path

from detectron2.data import MetadataCatalog
from omegaconf import DictConfig

from ..config.files import save_config
from ..files.atomic import write_atomically
from ..files.digest import sha256_of
from .evaluation import Results, evaluate_checkpoint, read_results
from .labelled_images import load_records
from .measurement import Measurement
from .processes import of_main_process
from .run_folder import hold_run_folder, make_output_folder
from .train_loop import train

_MARK = "experiment.sha256"
_FINAL = "evaluation_final"  # as a training calls it


def train_once(config: DictConfig, mark: str) -> Results:
    """Train and evaluate an experiment unless that is done, going on where it was stopped.

    Args:
        config: of the run; its folder is ``train.output_dir``.
        mark: its fingerprint.

    Returns:
        The final evaluation.

    Raises:
        ValueError: as :func:`claim`.
        OSError, FloatingPointError: as :func:`~.train_loop.train`.
    """
    folder = Path(config.train.output_dir)
    with hold_run_folder(folder):
        claim(folder, mark)
        done = of_main_process(lambda: results_in(folder))
        return train(config, resume=None) if done is None else done


def evaluate_once(config: DictConfig, mark: str, weights: str, *, tta: bool = False) -> Results:
    """Evaluate an experiment with the weights of another unless that is done.

    Args:
        config: of the evaluation; its folder is ``train.output_dir``.
        mark: its fingerprint.
        weights: file or address of the checkpoint.
        tta: evaluate with test-time augmentation.

    Returns:
        The evaluation.

    Raises:
        ValueError: as :func:`claim`.
        OSError: as :func:`~.evaluation.evaluate_checkpoint`.
    """
    folder = Path(config.train.output_dir)
    claim(folder, mark)
    done = of_main_process(lambda: results_in(folder, tta=tta))
    if done is not None:
        return done
    config.train.init_checkpoint = weights
    return evaluate_checkpoint(config, name=_FINAL, tta=tta)


def claim(folder: Path, mark: str) -> None:
    """Make the folder of a run and mark it. Call it in all processes.

    A run that has left nothing behind but its mark, such as one with a misprint, gives way.

    Raises:
        ValueError: if the folder holds checkpoints, results or proposals of a run with another
            mark, or checkpoints or results of one without.
        OSError: if it cannot be made.
    """
    of_main_process(lambda: _claim(folder, mark))


def mark_of(folder: Path) -> str | None:
    """The mark of a folder, None if it has none."""
    file = folder / _MARK
    return file.read_text() if file.is_file() else None


def results_in(folder: Path, name: str = _FINAL, *, tta: bool = False) -> Results | None:
    """An evaluation of a run, with test-time augmentation if asked for; None if it has not been
    made yet."""
    file = _file_of(folder, name, tta)
    return read_results(file)[0] if file.is_file() else None


def measurement_in(folder: Path, name: str = _FINAL, *, tta: bool = False) -> Measurement | None:
    """What the evaluation of :func:`results_in` was made on; None if it does not say, as those of
    earlier versions do not."""
    file = _file_of(folder, name, tta)
    return read_results(file)[1] if file.is_file() else None


def _file_of(folder: Path, name: str, tta: bool) -> Path:
    return folder / f"{name}_tta.json" if tta else folder / f"{name}.json"


def fingerprint(config: DictConfig) -> str:
    """SHA-256 of what decides the outcome of a run: its config and annotations, but for where it
    is run and how often it reports."""
    config = copy.deepcopy(config)
    config.train.output_dir, config.train.device = "", ""
    config.train.log_period, config.train.checkpointer = 0, {}
    config.train.pop("datasets", None)
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        save_config(config, file)
        digest.update(file.read_bytes())
    evaluates = config.dataloader.get("evaluator") is not None
    for part in ("train", "test") if evaluates else ("train",):
        names = config.dataloader[part].dataset.names
        for name in [names] if isinstance(names, str) else names:
            digest.update(_annotations(name).encode())
    return digest.hexdigest()


@functools.cache  # that of COCO has half a gigabyte
def _annotations(dataset: str) -> str:
    """SHA-256 of the annotation file of a dataset, empty if it has none."""
    file = MetadataCatalog.get(dataset).get("json_file")
    if file is None:
        return ""
    if not Path(file).is_file():
        load_records(dataset)  # made on first use, or missing, which it says
    return sha256_of(file)


def require_mark(folder: Path, mark: str) -> None:
    """Check that a folder holds no other run than the one with this mark.

    Raises:
        ValueError: as :func:`claim`.
    """
    if holds_other(folder, mark):
        raise ValueError(
            f"{folder} holds a run with another config or other data: give another --output-dir, "
            "or remove it."
        )


def holds_other(folder: Path, mark: str) -> bool:
    """Whether a folder holds another run than the one with this mark."""
    found = mark_of(folder)
    done = [folder / "last_checkpoint", *folder.glob(f"{_FINAL}*.json")]
    if found is not None:  # without a mark a file of proposals may be the user's own
        done += folder.rglob("*.npz")
    return found != mark and any(file.exists() for file in done)


def results_of(folder: Path) -> list[Path]:
    """The mark of a folder and its own results; without them another run may have it."""
    files = [folder / _MARK, folder / "last_checkpoint", *sorted(folder.glob(f"{_FINAL}*.json"))]
    return [file for file in files if file.exists()]


def _claim(folder: Path, mark: str) -> None:
    require_mark(folder, mark)
    make_output_folder(folder)
    write_atomically(folder / _MARK, lambda out: out.write(mark.encode()))
