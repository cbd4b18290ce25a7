"""Which image is in which training batch, as pure index arithmetic.

A training set is cut into groups (landscape, portrait); each group is an endless *stream* of
shuffled passes over its images, and a batch is ``B`` consecutive positions of one stream. An
*epoch* is the batches that one pass over all images fills, in shuffled order; what does not fill a
batch opens the next epoch, so no image is lost. Nothing is stored between batches: batch 10,000 is
found without looking at the 9,999 before.

Shape shorthand: N images, G groups, B images per batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np


class BatchSchedule:
    """The endless sequence of batches of one process.

    Args:
        groups: G sequences of dataset indices; a batch never mixes two of them. Together N indices.
        batch_size: B, images per batch of one process.
        seed: non-negative; another seed is another order.
        rank: number of this process.
        world_size: number of processes. Batch k of rank r is batch ``k * world_size + r`` of the
            schedule, so in one epoch the processes share the images without overlap.

    Raises:
        ValueError: when there is no image, or a number is out of range.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[int]],
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.groups = [np.asarray(group, dtype=np.int64) for group in groups if len(group)]
        if not self.groups:
            raise ValueError("the training set holds no image: check its annotation file.")
        if batch_size < 1:
            raise ValueError(f"a batch needs at least one image, not {batch_size}.")
        if seed < 0:
            raise ValueError(f"the data loader's seed must not be negative, but is {seed}.")
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.num_images = sum(len(group) for group in self.groups)
        # The current and the previous pass of each group, as a batch may lie across two of them.
        self._pass = lru_cache(maxsize=2 * len(self.groups))(self._shuffled_pass)
        self._epoch = lru_cache(maxsize=2)(self._shuffled_epoch)

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        del state["_pass"], state["_epoch"]  # lru_cache wrappers cannot be pickled
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._pass = lru_cache(maxsize=2 * len(self.groups))(self._shuffled_pass)
        self._epoch = lru_cache(maxsize=2)(self._shuffled_epoch)

    def batch(self, k: int) -> list[int]:
        """Dataset indices of this process's batch ``k`` (counted from 0): B of them."""
        number = k * self.world_size + self.rank
        epoch = self._epoch_of(number)
        group, first = self._epoch(epoch)[number - self._batches_before(epoch)]
        size = len(self.groups[group])
        positions = range(int(first), int(first) + self.batch_size)
        return [int(self._pass(int(group), p // size)[p % size]) for p in positions]

    def from_batch(self, k: int) -> Iterator[list[int]]:
        """Iterate endlessly over batches ``k``, ``k + 1``, ..."""
        while True:
            yield self.batch(k)
            k += 1

    def _batches_before(self, epoch: int) -> int:
        """How many full batches the epochs before ``epoch`` hold: of each group, a whole number."""
        return sum(epoch * len(group) // self.batch_size for group in self.groups)

    def _epoch_of(self, number: int) -> int:
        # Never too large, as rounding down only delays batches; too small by few for the same
        # reason.
        epoch = number * self.batch_size // self.num_images
        while self._batches_before(epoch + 1) <= number:
            epoch += 1
        return epoch

    def _shuffled_epoch(self, epoch: int) -> np.ndarray:
        """The batches of an epoch in order: rows of (group, first position in its stream)."""
        rows = []
        for g, group in enumerate(self.groups):
            numbers = np.arange(
                epoch * len(group) // self.batch_size, (epoch + 1) * len(group) // self.batch_size
            )
            rows.append(np.stack([np.full_like(numbers, g), numbers * self.batch_size], axis=1))
        return np.random.default_rng([self.seed, 0, epoch]).permutation(np.concatenate(rows))

    def _shuffled_pass(self, group: int, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, 1, group, number]).permutation(self.groups[group])


def group_by_aspect_ratio(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Split images into landscape and the rest, so that batches need little padding.

    Args:
        sizes: (width, height) per image.

    Returns:
        Two lists of indices into ``sizes``: width > height, width <= height.
    """
    landscape = [i for i, (width, height) in enumerate(sizes) if width > height]
    others = [i for i, (width, height) in enumerate(sizes) if width <= height]
    return [landscape, others]
