"""Greedy matching of proposals to ground truth, equal to COCOeval's, for all thresholds at once.

COCOeval walks over thresholds, area ranges, proposals and objects in Python, some ten minutes for
5,000 images with 1,000 proposals each. Here only the proposals that overlap an object enough to
matter are walked, and each of them decides for all thresholds and area ranges in one array
operation.

Shape shorthand: D proposals in descending order of score, G objects, A area ranges, T IoU
thresholds, M limits on the number of proposals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # as COCOeval makes them, to the last bit
AREA_RANGES = {  # of an object's annotated area, square pixels, both ends included (COCOeval)
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


def count_found(
    ious: np.ndarray,
    ignore: np.ndarray,
    crowd: np.ndarray,
    limits: Sequence[int],
    thresholds: np.ndarray = IOU_THRESHOLDS,
) -> np.ndarray:
    """Count the objects of one image that its best proposals find.

    In order of score, each proposal takes the object it overlaps most, at least by the threshold,
    among those not yet taken; an object that counts is preferred to one that is ignored, the later
    of two with equal overlap is taken, and a crowd region may be taken any number of times
    (COCOeval).

    Args:
        ious: (D, G) overlaps; with a crowd region, the part of the proposal inside it.
        ignore: (A, G) bool, objects that do not count in an area range.
        crowd: (G,) bool, crowd regions.
        limits: M numbers of proposals to look at, ascending.
        thresholds: (T,) IoU from which an object is found.

    Returns:
        (A, M, T) int64, number of objects that are found and count.
    """
    num_areas, num_limits, num_thresholds = len(ignore), len(limits), len(thresholds)
    found = np.zeros((num_areas, num_limits, num_thresholds), np.int64)
    if ious.size == 0:
        return found
    num_objects = ious.shape[1]
    thresholds = np.minimum(thresholds, 1 - 1e-10)  # COCOeval's, for a threshold of 1

    # Preference of proposal d for object g as an integer: the order of the overlaps, later ones
    # winning ties, objects that count above all that are ignored. Integers, as adding to a float
    # would round ties into it.
    rank = np.empty(ious.shape, np.int64)
    np.put_along_axis(
        rank, np.argsort(ious, axis=1, kind="stable"), np.arange(num_objects)[None], axis=1
    )
    counts = ~ignore  # (A, G)
    bonus = counts[:, None] * num_objects  # (A, 1, G)

    free = np.ones((num_areas, num_thresholds, num_objects), bool)
    areas, levels = np.indices((num_areas, num_thresholds))
    useful = np.flatnonzero(ious.max(axis=1) >= thresholds[0])
    columns = np.searchsorted(limits, useful, side="right")  # the smallest limit that admits it
    for d, column in zip(useful, columns, strict=True):
        if column == num_limits:
            break
        near = free & (ious[d] >= thresholds[:, None])  # (A, T, G)
        preference = np.where(near, rank[d] + bonus, -1)
        best = preference.argmax(axis=2)  # (A, T)
        taken = near[areas, levels, best]
        found[:, column] += taken & counts[areas, best]
        free[areas, levels, best] &= ~taken | crowd[best]
    return found.cumsum(axis=1)
