"""Names of Grid R-CNN's weights in mmdet, Grid R-CNN Plus and CPM R-CNN's code -> ours.

All three have the same network under different names. Where they have two convolutions for each
edge of the grid, we have one of all edges, see :class:`~cascade_rpn_d2.modeling.PointFusion`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .mmdet_names import BOTH, Names, make_names

# Rounds of fusion -> ours; and the two convolutions of an edge -> ours.
_FUSIONS = {"f": "fuse1", "s": "fuse2"}
_CONVOLUTIONS = {"0": "depthwise", "1": "pointwise"}

_ROUND = r"(?:forder_trans|sorder_trans|firstOrderConvs|secondOrderConvs)"
_EDGE = re.compile(
    rf"(?P<round>.*\.{_ROUND})\.(?P<point>\d+)\.(?P<edge>\d+)\.(?P<layer>[01])\.(?P<part>\w+)"
)


class Joined(NamedTuple):
    """A state dict in which weights of the file are put together.

    Attributes:
        state: name -> value. A name that is not in the file has a ``*`` where those it is made of
            differ.
        sources: name -> the names in the file that its value is made of; a name that is not there
            is of the file itself.
    """

    state: dict[str, Tensor]
    sources: dict[str, tuple[str, ...]]


def grid_names(trunk: str, output: str | None = None) -> Names:
    """Names of a grid head, or of those of several stages.

    Args:
        trunk: pattern of what its convolutions and the fusion belong to, without a numbered group;
            a group ``stage`` is the number of the stage, which is 0 without it.
        output: likewise of what its deconvolutions belong to; None for the same.
    """
    output = trunk if output is None else output

    def to(ours: str) -> Callable[[re.Match[str]], str]:
        def name(match: re.Match[str]) -> str:
            stage = match.groupdict().get("stage", "0")
            return f"roi_heads.grid_stages.{stage}.head.{match.expand(ours)}"

        return name

    def fusion(match: re.Match[str]) -> str:
        layer = f"{_FUSIONS[match['round']]}.{_CONVOLUTIONS[match['layer']]}"
        return to(rf"{layer}.\g<part>")(match)

    part = BOTH.replace("(", "(?P<part>", 1)
    return make_names(
        (rf"{trunk}\.convs\.(?P<i>\d+)\.(?:conv|0)\.{part}", to(r"convs.\g<i>.conv.\g<part>")),
        (rf"{trunk}\.convs\.(?P<i>\d+)\.(?:gn|1)\.{part}", to(r"convs.\g<i>.norm.\g<part>")),
        (
            rf"{trunk}\.(?P<round>[fs])(?:order_trans|irstOrderConvs|econdOrderConvs)"
            rf"\.\*\.\*\.(?P<layer>[01])\.{part}",
            fusion,
        ),
        (rf"{output}\.(?:up)?deconv_?(?P<i>[12])\.{part}", to(r"deconv\g<i>.\g<part>")),
        (rf"{output}\.(?:norm|sbn)1\.{part}", to(r"norm1.\g<part>")),
    )


def edges(grid_size: int) -> Iterator[tuple[int, int]]:
    """The edges of a grid in our order: by side, then by the point that receives.

    Args:
        grid_size: S, points a side. Point ``p = column * S + row``.

    Returns:
        For each edge the point that receives, and the place of the one that sends among its
        neighbours, as the reference codes count them: left, above, below, right, as far as there
        are any.
    """
    points = [(column, row) for column in range(grid_size) for row in range(grid_size)]
    sides = ((-1, 0), (0, -1), (0, 1), (1, 0))
    inside = range(grid_size)
    for number, (dx, dy) in enumerate(sides):
        for point, (column, row) in enumerate(points):
            if column + dx in inside and row + dy in inside:
                before = sides[:number]
                yield point, sum(column + x in inside and row + y in inside for x, y in before)


def join_edges(state: Mapping[str, Tensor]) -> Joined:
    """A state dict with the convolutions of all edges as one.

    Args:
        state: as the reference codes have it. Without any fusion it stays as it is.

    Raises:
        ValueError: if an edge is not there, two are of different shapes, or the points are no
            square; in words that begin with "it".
    """
    joined, sources = {}, {}
    groups: dict[str, dict[tuple[int, int], str]] = {}
    for key, value in state.items():
        match = _EDGE.fullmatch(key)
        if match is None:
            joined[key] = value
            continue
        name = f"{match['round']}.*.*.{match['layer']}.{match['part']}"
        groups.setdefault(name, {})[int(match["point"]), int(match["edge"])] = key
    for name, keys in groups.items():
        order = _ordered(name, keys)
        first = state[order[0]]
        for key in order:
            if state[key].shape != first.shape:
                raise ValueError(
                    f"it has '{key}' of shape {tuple(state[key].shape)} beside '{order[0]}' of "
                    f"shape {tuple(first.shape)}: give another checkpoint."
                )
        joined[name] = torch.cat([state[key] for key in order])
        sources[name] = order
    return Joined(joined, sources)


def _ordered(name: str, keys: Mapping[tuple[int, int], str]) -> tuple[str, ...]:
    """The names of a weight of all edges, in our order."""
    points = 1 + max(point for point, _ in keys)
    size = math.isqrt(points)
    if size * size != points:
        raise ValueError(f"it has '{name}' for {points} points, which are no square.")
    every = list(edges(size))
    for point, edge in every:
        if (point, edge) not in keys:
            raise ValueError(
                f"it lacks '{name.replace('*', str(point), 1).replace('*', str(edge), 1)}', an "
                "edge of the grid: give another checkpoint."
            )
    if len(keys) > len(every):
        extra = next(key for place, key in keys.items() if place not in every)
        raise ValueError(f"it has '{extra}', for which a grid of {size} x {size} has no edge.")
    return tuple(keys[place] for place in every)
