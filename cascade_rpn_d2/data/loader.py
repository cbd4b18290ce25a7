"""The training loader: batch k is a function of (seed, k, rank, world size) alone.

Which images are in batch k is index arithmetic (:mod:`.schedule`). What the augmentations do to
them follows from random states seeded per sample, in whichever worker process the mapper happens
to run.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetFromList
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from .schedule import BatchSchedule, group_by_aspect_ratio

logger = logging.getLogger(__name__)


def build_train_loader(
    dataset: Sequence[dict],
    mapper: Callable[[dict], Any],
    total_batch_size: int,
    *,
    num_workers: int = 0,
    seed: int = 0,
    start_batch: int = 0,
    aspect_ratio_grouping: bool = True,
) -> DataLoader:
    """Build an endless loader that can start at any batch.

    Args:
        dataset: detectron2 dataset dicts, at least one; fewer than a batch are repeated.
        mapper: turns a dataset dict into the model's input. May draw from the global random states
            of python, numpy and torch (CPU); they are seeded for each sample and restored
            afterwards.
        total_batch_size: images per batch of all processes together.
        num_workers: loader processes; 0 loads in this one. Does not change what is loaded.
        seed: of the order of the images and of their augmentations. Not negative.
        start_batch: number of the batch to begin with. Batches are counted from the start of
            training.
        aspect_ratio_grouping: keep landscape and portrait images in separate batches.

    Returns:
        An endless iterable of ``list[mapped sample]``, this process's share of each batch
        (``total_batch_size / world size``). Every ``iter()`` of it begins at ``start_batch``.

    Raises:
        ValueError: for an empty dataset, a batch size that the processes cannot share, a negative
            number, or (with grouping) a dataset dict without width and height.
    """
    world_size = comm.get_world_size()
    if total_batch_size < 1 or total_batch_size % world_size:
        raise ValueError(
            f"total_batch_size={total_batch_size} cannot be shared by {world_size} processes: set "
            f"dataloader.train.total_batch_size to a positive multiple of {world_size}."
        )
    if start_batch < 0:
        raise ValueError(f"start_batch must not be negative, but is {start_batch}.")

    if aspect_ratio_grouping:
        groups: list[Any] = group_by_aspect_ratio([_size(record) for record in dataset])
    else:
        groups = [range(len(dataset))]
    schedule = BatchSchedule(
        groups, total_batch_size // world_size, seed, comm.get_rank(), world_size
    )
    logger.info(
        "Training on %d images, %d per batch and process, in %d group(s) of aspect ratio, from "
        "batch %d.",
        *(schedule.num_images, schedule.batch_size, len(schedule.groups), start_batch),
    )
    return DataLoader(
        _SeededDataset(dataset, mapper, seed),
        batch_sampler=_SampleKeys(schedule, start_batch),
        num_workers=num_workers,
        collate_fn=_as_list,
    )


class _Key(NamedTuple):
    """What a worker needs to make a sample."""

    image: int  # position in the dataset
    number: int  # of this sample among all of the training


class _SampleKeys(Sampler[list[_Key]]):
    """Yields the keys of batch ``start``, ``start + 1``, ... of a schedule."""

    def __init__(self, schedule: BatchSchedule, start: int) -> None:
        self.schedule = schedule
        self.start = start

    def __iter__(self) -> Iterator[list[_Key]]:
        schedule = self.schedule
        for k, images in enumerate(schedule.from_batch(self.start), start=self.start):
            first = (k * schedule.world_size + schedule.rank) * schedule.batch_size
            yield [_Key(image, first + i) for i, image in enumerate(images)]


class _SeededDataset(Dataset):
    """Maps a sample under random states that depend on its key alone."""

    def __init__(self, dataset: Sequence[dict], mapper: Callable[[dict], Any], seed: int) -> None:
        # Serialised once into shared memory instead of copied into every worker.
        self.records = DatasetFromList(list(dataset), copy=False)
        self.mapper = mapper
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: _Key) -> Any:
        record = self.records[key.image]
        name = record.get("file_name", f"number {key.image}")
        with seeded_random_states(self.seed, key.number):
            sample = self.mapper(record)
        if sample is None:
            raise ValueError(
                f"the mapper returned None for image {name}: remove the image from the dataset, as "
                "skipping it here would change the batches."
            )
        return sample


@contextlib.contextmanager
def seeded_random_states(*key: int) -> Iterator[None]:
    """Seed the random states of python, numpy and torch (CPU); restore them on leaving.

    Args:
        key: non-negative integers, of any size.
    """
    words = [int(word) for word in np.random.SeedSequence(key).generate_state(3, np.uint64)]
    saved = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(words[0])
        np.random.seed(words[1] % 2**32)
        # Not torch.manual_seed, which would also reseed the GPUs in the middle of a training step.
        torch.default_generator.manual_seed(words[2])
        yield
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
        torch.set_rng_state(saved[2])


def _size(record: dict) -> tuple[int, int]:
    try:
        return record["width"], record["height"]
    except KeyError as error:
        raise ValueError(
            f"image {record.get('file_name', '?')} has no {error.args[0]} in its dataset dict: add "
            "it, or set dataloader.train.aspect_ratio_grouping=False."
        ) from error


def _as_list(samples: list) -> list:
    return samples
