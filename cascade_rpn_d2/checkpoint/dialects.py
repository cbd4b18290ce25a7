"""How the files of other frameworks call their weights, and what has to be done to those."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor

from .authors_names import AUTHORS as AUTHORS_NAMES
from .authors_names import UNUSED_DELTAS, background_last
from .cpm_names import CPM as CPM_NAMES
from .cpm_names import LEFT_OUT, in_our_order, with_statistics
from .grid_names import grid_names
from .mmdet_names import GUIDED as GUIDED_NAMES
from .mmdet_names import MMDET as MMDET_NAMES
from .mmdet_names import Names, is_location
from .retinanet_names import DELTAS, GUIDED_RETINANET, RETINANET, sizes_first
from .worlds import AUTHORS, CPM, PLUS, World


def _as_it_is(key: str, value: Tensor) -> Tensor:
    return value


@dataclass(frozen=True)
class Dialect:
    """How a file calls its weights.

    Args:
        names: its names -> ours.
        reorder: brings a weight, by its name there, into our order.
        left_out: pattern of a name that has no place in a model of ours -> why.
        complete: adds what a model of ours has and such a file does not need to say.
    """

    names: Names
    reorder: Callable[[str, Tensor], Tensor] = _as_it_is
    left_out: Mapping[str, str] = field(default_factory=dict)
    complete: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict

    def why_left_out(self, key: str) -> str | None:
        """Why a weight has no place in a model of ours; None if it may have one."""
        reasons = (why for name, why in self.left_out.items() if re.fullmatch(name, key))
        return next(reasons, None)


def dialect_of(state: Mapping[str, Tensor], world: World | None) -> Dialect:
    """The dialect of a file.

    Args:
        state: its names and values.
        world: that its names tell, if they do.
    """
    guided = any(map(is_location, state))
    if DELTAS in state:
        if guided:
            return Dialect(GUIDED_RETINANET)
        return Dialect(RETINANET, partial(sizes_first, num_anchors=len(state[DELTAS]) // 4))
    if world is CPM:
        return Dialect(CPM_NAMES, in_our_order, LEFT_OUT, with_statistics)
    if world is PLUS:
        return Dialect(AUTHORS_NAMES, background_last, UNUSED_DELTAS)
    names, reorder = (*MMDET_NAMES, *grid_names(r"roi_head\.grid_head")), _as_it_is
    if world is AUTHORS:
        names, reorder = AUTHORS_NAMES, background_last
    # Before the others, as the first layer of GA-RPN has the name that the baseline's has.
    return Dialect(GUIDED_NAMES + names if guided else names, reorder)
