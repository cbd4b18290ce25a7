"""The proposals of a dataset in memory, image by image.

Shape shorthand: I images, M proposals of all images together.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .proposal_archive import Ids, Index, ProposalFileError, counts_to_offsets, ids_to_array


@dataclass(frozen=True, eq=False)
class ProposalFile:
    """The proposals of a dataset, best first in every image.

    Attributes:
        ids: I image ids, as in the dataset.
        boxes: (M, 4) float32 XYXY in pixels of the original image.
        objectness_logits: (M,) float32.
        offsets: (I + 1,) int64, image i has the rows ``offsets[i]`` to before ``offsets[i + 1]``.
        metadata: where they come from.
        file_names: of the images, without folders; empty if they are not known.
    """

    ids: Ids
    boxes: np.ndarray
    objectness_logits: np.ndarray
    offsets: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)
    file_names: Sequence[str] = ()

    @classmethod
    def from_images(
        cls,
        ids: Ids,
        boxes: Sequence[np.ndarray],
        objectness_logits: Sequence[np.ndarray],
        metadata: Mapping[str, Any] | None = None,
        *,
        file_names: Sequence[str] = (),
        topk: int | None = None,
    ) -> ProposalFile:
        """Put the proposals of single images together, each image's in order of objectness.

        Args:
            ids: of I images.
            boxes: of each image (n, 4), XYXY in pixels of the original image.
            objectness_logits: of each image (n,).
            metadata: what json can hold.
            file_names: of each image, or none; folders are left out.
            topk: how many of an image are kept; None for all.

        Raises:
            ProposalFileError: if the numbers of images or boxes differ, or if something is not
                finite.
        """
        if not len(ids) == len(boxes) == len(objectness_logits):
            raise ProposalFileError(
                f"{len(ids)} image ids, {len(boxes)} sets of boxes and {len(objectness_logits)} of "
                "objectness_logits were given: give one of each for every image."
            )
        rows, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
        for image, box, logit in zip(ids, boxes, objectness_logits, strict=True):
            if box.shape != (len(logit), 4) or logit.ndim != 1:
                raise ProposalFileError(
                    f"image {image!r} has boxes {box.shape} and objectness_logits {logit.shape}: "
                    "give (n, 4) and (n,)."
                )
            order = np.argsort(-logit, kind="stable")[:topk]
            rows.append(np.asarray(box[order], np.float32))
            scores.append(np.asarray(logit[order], np.float32))
        offsets = counts_to_offsets([len(score) for score in scores[1:]])
        names = [os.path.basename(name) for name in file_names]
        if len(names) not in (0, len(ids)):
            raise ProposalFileError(
                f"{len(ids)} image ids and {len(names)} file_names were given: give one for every "
                "image, or none."
            )
        own = dict(metadata or {})
        found = cls(ids, np.concatenate(rows), np.concatenate(scores), offsets, own, names)
        found.check("given proposals")
        return found

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    def __contains__(self, image_id: int | str) -> bool:
        return str(image_id) in self._position

    def of(self, image_id: int | str) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 4) and logits (n,) of an image, best first.

        Args:
            image_id: a number and its digits are the same id, as for Detectron2.

        Raises:
            KeyError: if there is no such image.
        """
        i = self._position[str(image_id)]
        rows = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        return self.boxes[rows], self.objectness_logits[rows]

    def images(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What :meth:`of` gives for each image, in the order of ``ids``."""
        for image_id in self.ids:
            yield self.of(image_id)

    @property
    def index(self) -> Index:
        """All but the proposals."""
        return Index(self.ids, self.file_names, self.offsets, self.metadata)

    def check(self, name: str) -> None:
        """Check the values.

        Args:
            name: how to call the proposals in a message.

        Raises:
            ProposalFileError: if ids repeat, something is not finite, a box is turned inside out,
                or an image's proposals are not in order; names the image.
        """
        ids_to_array(self.ids)
        if len(self._position) < len(self.ids):
            raise ProposalFileError(f"{name}: an image id occurs twice, dump the proposals again.")
        boxes, logits = self.boxes, self.objectness_logits
        last = np.zeros(len(logits), bool)  # whether a row is the last one of its image
        last[self.offsets[1:][np.diff(self.offsets) > 0] - 1] = True
        ascending = np.zeros(len(logits), bool)
        ascending[:-1] = ~last[:-1] & (logits[1:] > logits[:-1])
        for flawed, what in (
            (~np.isfinite(boxes).all(axis=1), "boxes that are not finite"),
            (~np.isfinite(logits), "objectness_logits that are not finite"),
            ((boxes[:, 2:] < boxes[:, :2]).any(axis=1), "boxes that are not x1, y1, x2, y2"),
            (ascending, "proposals that are not in order of objectness"),
        ):
            if flawed.any():
                row = int(flawed.argmax())
                image = self.ids[int(np.searchsorted(self.offsets, row, side="right")) - 1]
                raise ProposalFileError(
                    f"{name}: image {image!r} has {what}: dump the proposals again, with a model "
                    "that has not diverged."
                )

    @functools.cached_property
    def _position(self) -> dict[str, int]:
        return {str(image_id): i for i, image_id in enumerate(self.ids)}
