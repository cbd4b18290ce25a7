"""What a model has to say of its training besides its losses."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.utils.events import get_event_storage, has_event_storage
from torch import Tensor


def put_statistics(prefix: str, statistics: Mapping[str, Tensor], period: int) -> None:
    """Put scalars into the event storage, if there is one, as ``<prefix><name>``.

    Args:
        prefix: of the names.
        statistics: scalar tensors by name.
        period: iterations between two looks, as each makes the host wait for the device.
    """
    if not has_event_storage():
        return
    storage = get_event_storage()
    if (storage.iter + 1) % period == 0:
        for name, value in statistics.items():
            storage.put_scalar(prefix + name, value)
