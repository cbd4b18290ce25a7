"""The output folder of a run: whose it is, and what becomes of a run that was there before."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from detectron2.utils import comm

from ..files.folders import make_writable
from ..files.lock import FolderInUse, lock_folder
from .metrics import iteration_of
from .processes import of_main_process

logger = logging.getLogger(__name__)

# What a training goes on from or leaves to predict with: where there is one, a run has been.
_TO_RESUME = ("model_[0-9]*.pth", "model_final.pth")
_CHECKPOINTS = ("last_checkpoint", *_TO_RESUME, "model_best.pth")
# What a training leaves besides, but for log.txt, which tells of all runs of a folder; and what an
# evaluation writes of its checkpoints. What fine-tuning writes before its training is not here.
_OF_A_RUN = (
    *_CHECKPOINTS,
    "metrics.json",
    "metrics_of_previous_run.json",
    "events.out.tfevents.*",
    "evaluation.json",
    "evaluation_tta.json",
    "evaluation_[0-9]*.json",
    "evaluation_final*.json",
    "coco_*_results.json",
    "coco_*_results_tta.json",
    "coco_*_results_[0-9]*.json",
    "coco_*_results_final*.json",
    "instances_predictions.pth",
    "config.yaml",
)
_NAMED = 3  # how many files a message names


def make_output_folder(folder: str | os.PathLike[str]) -> None:
    """Make the folder of a run if it is not there, and see whether it can be written to.

    Raises:
        OSError: if it cannot be made or written to; says what to do.
    """
    make_writable(Path(folder), f"the output folder {folder}", "give another --output-dir.")


@contextlib.contextmanager
def hold_run_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Make the folder of a run, and keep other runs out of it. Call it in all processes of a run.

    Raises:
        OSError: if another run writes there, or if it cannot be written to; says what to do.
        ValueError: if it has a file that no run wrote but this one would replace.
    """
    with contextlib.ExitStack() as stack:

        def hold() -> None:
            make_output_folder(folder)
            try:
                stack.enter_context(lock_folder(folder))
            except FolderInUse as error:
                raise OSError(
                    f"Another run writes to the output folder {folder} ({error.holder}): wait for "
                    "its end, or give another --output-dir."
                ) from error
            _refuse_foreign(Path(folder))

        of_main_process(hold)
        yield


def set_aside(folder: str | os.PathLike[str]) -> dict[Path, Path]:
    """Move what a run before left in a folder to ``previous_1`` there, or ``_2``, ...

    Args:
        folder: held by this process.

    Returns:
        Where each file was, and where it is now; empty if there was no run.

    Raises:
        OSError: if the files cannot be moved, all of which are where they were then.
    """
    place = Path(folder)
    if not _held_a_run(place):
        return {}
    found = _files(place, _OF_A_RUN)
    number = 1
    while (place / f"previous_{number}").exists():
        number += 1
    target = place / f"previous_{number}"
    moved: dict[Path, Path] = {}
    try:
        target.mkdir()
        # First the one that names another of them, in case of a kill before all are moved.
        for file in sorted(found, key=lambda file: (file.name != "last_checkpoint", file.name)):
            file.rename(target / file.name)
            moved[file] = target / file.name
    except BaseException as error:
        with contextlib.suppress(OSError):
            for file, there in reversed(moved.items()):
                there.rename(file)
            target.rmdir()
        if not isinstance(error, OSError):
            raise
        raise OSError(
            f"The run in {folder} cannot be moved aside to {target.name} ({error.strerror}): give "
            "another --output-dir."
        ) from error
    return moved


def _files(folder: Path, patterns: Iterable[str]) -> set[Path]:
    return {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}


def _held_a_run(folder: Path) -> bool:
    """Whether a run has been there that did something: one that failed before its first iteration
    left nothing worth keeping."""
    logged = any((folder / name).exists() for name in ("log.txt", "config.yaml"))
    metrics = folder / "metrics.json"
    return bool(_files(folder, _CHECKPOINTS)) or (
        logged and metrics.is_file() and metrics.stat().st_size > 0
    )


def _refuse_foreign(folder: Path) -> None:
    """Check that what a new run would replace is of runs."""
    for name, is_of_a_run in (("config.yaml", _is_config), ("metrics.json", _are_metrics)):
        file = folder / name
        if file.is_file() and file.stat().st_size and not is_of_a_run(file):
            raise ValueError(
                f"{file} is not of a training, which would replace it: give another --output-dir, "
                "or move the file away."
            )


def _is_config(file: Path) -> bool:
    lines = file.read_text("utf-8", errors="replace").splitlines()
    return all(any(line.startswith(f"{part}:") for line in lines) for part in ("model", "train"))


def _are_metrics(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as lines:
        return iteration_of(lines.readline()) is not None


def tell_set_aside(
    folder: str | os.PathLike[str], moved: Mapping[Path, Path], *, resume: bool | None
) -> None:
    """Say in one line what :func:`set_aside` has moved, and how a run is gone on with; or if that
    was asked for that there was no checkpoint, and where one of an earlier run is.

    Args:
        folder: of the run.
        moved: what :func:`set_aside` has returned.
        resume: whether that was asked for; None if one may begin so too.
    """
    begins = f"There is no checkpoint in {folder} to resume from: the run begins anew"
    if not moved:
        if resume:
            logger.warning("%s.%s", begins, _earlier(Path(folder)))
        return
    names = sorted((file.name for file in moved), key=lambda name: not name.endswith(".pth"))
    target = next(iter(moved.values())).parent
    what = "%d files (%s%s) are now in %s"
    values = len(moved), ", ".join(names[:_NAMED]), ", ..." if names[_NAMED:] else "", target.name
    if resume is not False:
        logger.warning(f"%s, and {what}.%s", begins, *values, _earlier(target.parent))
    else:
        logger.warning(
            f"%s held a run before: its {what}; --resume goes on with a run.",
            *(target.parent, *values),
        )


def _earlier(folder: Path) -> str:
    """Where the last run that was set aside with a checkpoint is, as a sentence."""
    numbers = [int(x.name[9:]) for x in folder.glob("previous_*") if x.name[9:].isdecimal()]
    for number in sorted(numbers, reverse=True):
        place = folder / f"previous_{number}"
        if _files(place, _TO_RESUME):
            return f" An earlier run has one: go on with --output-dir {place} --resume."
    return ""


def checkpoint_seen_by_all(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder has a checkpoint to resume from.

    Raises:
        OSError: if only some processes see it.
        ValueError: if there are checkpoints, but nothing names the last one.
    """
    of_main_process(lambda: _require_named(Path(folder)))
    found = comm.all_gather((Path(folder) / "last_checkpoint").exists())
    if any(found) and not all(found):
        raise OSError(
            f"Only some processes see the checkpoints in {folder}: give an output folder that all "
            "machines share."
        )
    return all(found)


def _require_named(folder: Path) -> None:
    files = _files(folder, _TO_RESUME)
    if files and not (folder / "last_checkpoint").exists():
        newest = max(files, key=lambda file: (file.stat().st_mtime, file.name))
        raise ValueError(
            f"{folder} has checkpoints, but no file last_checkpoint that names the one to resume "
            f"from: write {newest.name}, which is the newest, into {folder / 'last_checkpoint'}, "
            "or start anew without --resume."
        )
