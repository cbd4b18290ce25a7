"""In how many cells an evaluated model had anchors (Guided Anchoring, Table 5)."""

from __future__ import annotations

import logging

from detectron2.utils import comm
from torch import nn

from ..modeling.guided_anchors import Activity

logger = logging.getLogger(__name__)

# Task and names of the results.
ANCHORS, PER_IMAGE, SHARE = "anchors", "active_per_image", "active_share"


def reset_activity(model: nn.Module) -> None:
    """Forget what the model has counted so far."""
    for activity in _activities(model):
        activity.reset()


def activity_results(model: nn.Module) -> dict[str, dict[str, float]]:
    """What the model has counted since, on the images of all processes; logged as well.

    All processes have to call it, and get the same.

    Args:
        model: whose modules may have an ``activity``, as those with guided anchors do. Several of
            them, each of which sees every image, count together.

    Returns:
        ``{"anchors": {"active_per_image": ..., "active_share": ...}}``, the mean number of cells of
        an image in which there were anchors, and their share of its cells in per cent. Empty for a
        model that counts none, or has seen no image.
    """
    own = [(x.images, x.cells, x.active) for x in _activities(model)]
    active = cells = 0.0
    for counts in zip(*comm.all_gather(own), strict=True):  # of one module, process by process
        images, all_cells, all_active = map(sum, zip(*counts, strict=True))
        if images:
            cells += all_cells / images
            active += all_active / images
    if not cells:
        return {}
    share = 100 * active / cells
    logger.info("%.0f of %.0f cells an image had anchors (%.1f %%).", active, cells, share)
    return {ANCHORS: {PER_IMAGE: active, SHARE: share}}


def _activities(model: nn.Module) -> list[Activity]:
    found = (getattr(module, "activity", None) for module in model.modules())
    return [activity for activity in found if isinstance(activity, Activity)]
