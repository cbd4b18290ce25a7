"""The proposals of all images of a dataset, written to a file: distributed, and resumable.

The images are cut into chunks, which the processes share; each chunk that is done is a file of its
own in the folder ``<output>.parts``. A run that was killed goes on with the chunks that are not
there yet, with as many processes as it then has.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import build_detection_test_loader
from detectron2.modeling import GeneralizedRCNN
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from ..checkpoint import Checkpointer
from ..config.build import build_part
from ..data import find_dataset
from ..data.proposal_file import (
    ProposalFile,
    check_suffix,
    join_proposals,
    read_proposal_index,
    write_proposals,
)
from ..evaluation import ProposalsOfDetector
from ..files.atomic import remove_leftovers
from ..files.folders import make_writable
from ..files.lock import lock_folder
from ..model_zoo import choose_device, instantiate_model
from .dump_identity import Identity, require_identity, run_identity
from .image_options import check_dataset
from .labelled_images import load_records
from .processes import of_main_process
from .stopping import Stopped, stopped

logger = logging.getLogger(__name__)

_MOST_IN_CHUNK = 200  # images, of which a kill loses at most one chunk for each process
_LEAST_CHUNKS = 64  # so that many processes have something to do on a small dataset too
_LOG_SECONDS = 10.0


def dump_proposals(
    config: DictConfig,
    weights: str,
    dataset: str,
    output: str | os.PathLike[str],
    *,
    config_name: str = "",
    topk: int | None = None,
    device: str | torch.device | None = None,
    as_pickle: bool = False,
    overwrite: bool = False,
    chunk_size: int | None = None,
    check_images: bool = False,
) -> Path:
    """Write the proposals of every image of a dataset, also of those without annotations.

    Call it in all processes of a run. Images are fed one by one as ``dataloader.test.mapper`` says,
    so that the file does not depend on the number of processes. If an earlier call was interrupted,
    what it has done is used.

    Args:
        config: a LazyConfig with ``model`` and ``dataloader.test``: a network of proposals, or a
            detector with a proposal generator.
        weights: file or address of a checkpoint of the model.
        dataset: name of a registered dataset, or ``images_dir:annotations.json`` in COCO format.
        output: the file, ending in ``.npz``; its folder is made if need be.
        config_name: how the file is to call the config.
        topk: how many proposals of an image are written, the best; by default all that the
            generator gives at test.
        device: where to run; a GPU if there is one by default.
        as_pickle: write Detectron2's own format, a pickle, ending in ``.pkl``.
        overwrite: replace an output that is there.
        chunk_size: images in a chunk; chosen from the size of the dataset by default.
        check_images: look at all images of a folder first, see
            :func:`.image_options.check_dataset`.

    Returns:
        The path of the file.

    Raises:
        FileExistsError: if the output is there and not to be replaced.
        ValueError: if config, weights or dataset cannot be used, if the model gives no proposals of
            its own, or if the unfinished parts are of other weights, config, data or ``topk``.
        OSError: if something cannot be read or written.
    """
    target, parts = Path(output), Path(f"{os.fspath(output)}.parts")
    check_suffix(target, as_pickle=as_pickle)
    if topk is not None and topk < 1:
        raise ValueError(f"topk is {topk}: it must be a positive number of proposals.")
    if of_main_process(target.exists) and not overwrite:
        raise FileExistsError(
            f"{target} exists already: give --overwrite to replace it, or another --output."
        )
    name, records = records_to_propose_for(dataset)
    if check_images:
        check_dataset(config, "test", name)
    model = load_proposer(config, weights, choose_device(device), config_name)
    size = chunk_size or default_chunk_size(len(records))
    chunks = [range(i, min(i + size, len(records))) for i in range(0, len(records), size)]
    files = [parts / f"{number:06d}.npz" for number in range(len(chunks))]
    identity = of_main_process(lambda: run_identity(config, weights, records, topk, size))
    with _hold(parts):
        of_main_process(lambda: _begin(parts, identity))
        _require_shared(parts)
        pending = of_main_process(lambda: [i for i, file in enumerate(files) if not file.exists()])
        logger.info(
            "%d images of %s, %d of %d parts are done in %s.",
            *(len(records), name, len(chunks) - len(pending), len(chunks), parts),
        )

        own = pending[comm.get_rank() :: comm.get_world_size()]
        found = propose(model, config, [records[i] for chunk in own for i in chunks[chunk]], topk)
        for chunk in own:
            names = [records[i].get("file_name", "") for i in chunks[chunk]]
            ids, boxes, logits = zip(*(next(found) for _ in chunks[chunk]), strict=True)
            part = ProposalFile.from_images(ids, boxes, logits, file_names=names)
            write_proposals(files[chunk], part)

        metadata = {**identity, "dataset": name, "config_name": config_name}
        del metadata["chunk_size"], metadata["images_sha256"]  # of this machine's folders
        comm.synchronize()
        of_main_process(lambda: _join(target, parts, files, records, metadata, as_pickle))
    return target


def default_chunk_size(num_images: int) -> int:
    """Images in a chunk: a function of the dataset alone, so that any number of processes may go
    on with what others began."""
    return min(_MOST_IN_CHUNK, max(1, math.ceil(num_images / _LEAST_CHUNKS)))


def records_to_propose_for(dataset: str) -> tuple[str, list[dict]]:
    """Name and dataset dicts of a registered dataset, or of ``images_dir:annotations.json``.

    Raises:
        ValueError: if there is no such dataset, it has no images, or their ids cannot be told
            apart; names an image.
        OSError: if its files cannot be read.
    """
    name = find_dataset(dataset)
    records = load_records(name)
    seen: dict[str, dict] = {}
    kinds = set()
    for record in records:
        image_id = record.get("image_id")
        if isinstance(image_id, np.integer):
            record["image_id"] = image_id = int(image_id)
        kinds.add(type(image_id))
        other = seen.setdefault(str(image_id), record)
        if other is not record or not kinds <= {int} and not kinds <= {str}:
            raise ValueError(
                f"{record.get('file_name', 'An image')} of {name} has the image_id {image_id!r}, "
                f"and {other.get('file_name', 'another')} {other.get('image_id')!r}: give every "
                "image an id of its own, all integers or all strings."
            )
    return name, records


def load_proposer(
    config: DictConfig, weights: str, device: torch.device, config_name: str = ""
) -> nn.Module:
    """The model of a config with trained weights, in evaluation mode, giving ``proposals``.

    Raises:
        ValueError: if it makes no proposals, or if the weights are of another model.
        OSError: if the weights cannot be read.
    """
    model = instantiate_model(config, config_name or "The config")
    proposer = ProposalsOfDetector(model) if isinstance(model, GeneralizedRCNN) else model
    Checkpointer(model).load(weights, checkpointables=[])
    return proposer.to(device).eval()


def propose(
    model: nn.Module, config: DictConfig, records: Sequence[dict], topk: int | None
) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Run a model on images, and tell the log how it goes.

    Args:
        model: gives ``[{"proposals": Instances}]`` for one image, in pixels of the file.
        config: says how to feed the images.
        records: dataset dicts.
        topk: None for all.

    Yields:
        Image id, boxes (n, 4) and logits (n,), best first, for each record.

    Raises:
        ValueError: if the model gives no proposals.
    """
    test = config.dataloader.test
    loader = build_detection_test_loader(
        list(records),
        mapper=build_part(test.mapper, "dataloader.test.mapper"),
        sampler=range(len(records)),
        num_workers=test.get("num_workers", 0),
    )
    progress = _Progress(len(records))
    for record, batch in zip(records, loader, strict=True):
        with torch.no_grad():
            (output,) = model(batch)
        if "proposals" not in output:
            raise ValueError(
                f"{type(model).__name__} gives {', '.join(output)} and no proposals: give a config "
                "of proposals, or of a detector with a proposal generator."
            )
        proposals = output["proposals"]
        order = proposals.objectness_logits.argsort(descending=True, stable=True)[:topk]
        boxes = proposals.proposal_boxes.tensor[order].float().cpu().numpy()
        progress.step()
        yield record["image_id"], boxes, proposals.objectness_logits[order].float().cpu().numpy()


class _Progress:
    """Logs the images of this process, every so many seconds."""

    def __init__(self, total: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._total = total
        self._clock = clock
        self._done = 0
        self._start = self._logged = clock()

    def step(self) -> None:
        self._done += 1
        now = self._clock()
        if now - self._logged < _LOG_SECONDS and self._done < self._total:
            return
        self._logged = now
        seconds = (now - self._start) / self._done
        left = datetime.timedelta(seconds=round(seconds * (self._total - self._done)))
        logger.info(
            "Proposals of %d/%d images of this process, %.3f s/img, ETA=%s",
            *(self._done, self._total, seconds, left),
        )


@contextlib.contextmanager
def _hold(parts: Path) -> Iterator[None]:
    """Make the folder of the parts, keep other dumps out of it, and say how to go on after a
    signal."""
    with contextlib.ExitStack() as stack:

        def hold() -> None:
            make_writable(parts, f"the folder {parts}", "give another --output.")
            stack.enter_context(lock_folder(parts))

        of_main_process(hold)
        try:
            yield
        except Stopped as stop:
            rest = f"; what is done is in {parts}: give the same command again to go on."
            raise stopped(rest) from stop


def _begin(parts: Path, identity: Identity) -> None:
    remove_leftovers(parts)
    require_identity(parts, identity)


def _require_shared(parts: Path) -> None:
    found = comm.all_gather(parts.is_dir())
    if not all(found):
        raise OSError(
            f"Only some processes see the folder {parts}: give an --output that all machines share."
        )


def _join(
    target: Path,
    parts: Path,
    files: Sequence[Path],
    records: Sequence[dict],
    metadata: dict[str, Any],
    as_pickle: bool,
) -> None:
    ids = [image_id for file in files for image_id in read_proposal_index(file).ids]
    if ids != [record["image_id"] for record in records]:
        raise ValueError(
            f"The parts in {parts} do not have the images of the dataset: remove the folder and "
            "start again."
        )
    join_proposals(target, files, metadata, as_pickle=as_pickle)
    shutil.rmtree(parts)
    logger.info("Proposals of %d images are in %s.", len(ids), target)
