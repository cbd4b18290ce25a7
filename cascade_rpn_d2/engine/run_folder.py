"""The output folder of a run: whose it is, and what becomes of a run that was there before."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from detectron2.utils import comm

from ..files.folders import make_writable
from ..files.lock import FolderInUse, lock_folder
from .processes import of_main_process

logger = logging.getLogger(__name__)

# What a training leaves, but for log.txt, which tells of all runs of a folder; and what an
# evaluation writes of its checkpoints. What fine-tuning writes before its training is not here.
_OF_A_RUN = (
    "last_checkpoint",
    "model_[0-9]*.pth",
    "model_final.pth",
    "model_best.pth",
    "metrics.json",
    "metrics_of_previous_run.json",
    "events.out.tfevents.*",
    "evaluation.*",
    "evaluation_tta.*",
    "evaluation_[0-9]*",
    "evaluation_final*",
    "coco_*_results.json",
    "coco_*_results_tta.json",
    "coco_*_results_[0-9]*",
    "coco_*_results_final*",
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

        of_main_process(hold)
        yield


def set_aside(folder: str | os.PathLike[str]) -> dict[Path, Path]:
    """Move what a run before left in a folder to ``previous_1`` there, or ``_2``, ...

    Args:
        folder: held by this process.

    Returns:
        Where each file was, and where it is now; empty if there was no run.

    Raises:
        OSError: if the files cannot be moved.
    """
    place = Path(folder)
    found = {file for pattern in _OF_A_RUN for file in place.glob(pattern)}
    # A run that failed before its first iteration left nothing worth keeping.
    if not any(file.name != "config.yaml" and file.stat().st_size for file in found):
        return {}
    number = 1
    while (place / f"previous_{number}").exists():
        number += 1
    target = place / f"previous_{number}"
    target.mkdir()
    moved = {}
    # First the one that names another of them, in case of a kill before all are moved.
    for file in sorted(found, key=lambda file: (file.name != "last_checkpoint", file.name)):
        moved[file] = target / file.name
        file.rename(moved[file])
    return moved


def tell_set_aside(moved: Mapping[Path, Path], *, resume: bool) -> None:
    """Say in one line what :func:`set_aside` has moved, and how a run is gone on with, unless that
    was asked for and there was no checkpoint."""
    if not moved:
        return
    names = sorted((file.name for file in moved), key=lambda name: not name.endswith(".pth"))
    target = next(iter(moved.values())).parent
    logger.warning(
        "%s held a run before: its %d files (%s%s) are now in %s; %s.",
        *(target.parent, len(moved), ", ".join(names[:_NAMED])),
        *(", ..." if names[_NAMED:] else "", target.name),
        "it had no checkpoint" if resume else "--resume goes on with a run",
    )


def checkpoint_seen_by_all(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder has a checkpoint to resume from.

    Raises:
        OSError: if only some processes see it.
    """
    found = comm.all_gather((Path(folder) / "last_checkpoint").exists())
    if any(found) and not all(found):
        raise OSError(
            f"Only some processes see the checkpoints in {folder}: give an output folder that all "
            "machines share."
        )
    return all(found)
