"""The adaptive convolution against an ordinary one and against torchvision's deformable one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from .. import layers
from ..modeling import Grid
from .case import Case
from .inputs import pyramid, random_boxes, random_maps, sampling_offsets, to_case
from .memory import extra_memory
from .row import PYRAMID, Row, limit_of, missing_row, timed_row
from .targets import MEMORY
from .timing import Budget, Part, time_pairs

MODE = "op"
MIB = 2**20


@dataclass(frozen=True)
class LevelInputs:
    """What the convolutions of one level take; all sample the same places of the same map.

    Attributes:
        grid: the level.
        x: (N, C, Hi, Wi).
        weight: (C, C, 3, 3).
        boxes: (N, Hi*Wi, 4) XYXY in pixels, float32.
        offset: (N, 18, Hi, Wi) in cells, of the dtype of x: torchvision takes no other.
        grad_output: (N, C, Hi, Wi).
    """

    grid: Grid
    x: Tensor
    weight: Tensor
    boxes: Tensor
    offset: Tensor
    grad_output: Tensor

    @property
    def level(self) -> str:
        return f"stride {self.grid.stride}"

    @property
    def cells(self) -> int:
        return len(self.x) * self.grid.cells


Convolution = Callable[[LevelInputs], Tensor]


def adaptive(level: LevelInputs) -> Tensor:
    """Our operator."""
    return layers.adaptive_conv2d(level.x, level.boxes, level.weight, stride=level.grid.stride)


def ordinary(level: LevelInputs) -> Tensor:
    """torch's convolution, which samples no boxes."""
    return F.conv2d(level.x, level.weight, padding=1)


def deformable(level: LevelInputs) -> Tensor:
    """torchvision's operator, told to sample where ours does."""
    return torchvision.ops.deform_conv2d(level.x, level.offset, level.weight, padding=1)


REFERENCES: dict[str, Convolution] = {
    "F.conv2d": ordinary,
    "torchvision's deform_conv2d": deformable,
}


def level_inputs(case: Case, channels: int) -> list[LevelInputs]:
    """Inputs for every level of the pyramid, the same for the same case."""
    generator = torch.Generator().manual_seed(0)
    std = (channels * 9) ** -0.5  # the output is about as large as the input
    weight = std * torch.randn(channels, channels, 3, 3, generator=generator)
    maps = random_maps(case, channels, generator)
    grads = random_maps(case, channels, generator)
    inputs = []
    for grid, x, grad in zip(pyramid(case.image_size), maps, grads, strict=True):
        boxes = random_boxes(case.boxes or "trained", grid, case.batch, generator)
        inputs.append(
            LevelInputs(
                grid,
                x.requires_grad_(),
                to_case(weight, case).requires_grad_(),
                boxes.to(case.torch_device),
                sampling_offsets(boxes, grid).to(case.torch_device, case.torch_dtype),
                grad,
            )
        )
    return inputs


def forward_part(convolution: Convolution, level: LevelInputs) -> Part:
    """The convolution of a level without gradients."""

    def run() -> Tensor:
        with torch.no_grad():
            return convolution(level)

    return run


def backward_part(convolution: Convolution, level: LevelInputs) -> Part:
    """The convolution of a level and the gradients of its map and its weight."""

    def run() -> tuple[Tensor, ...]:
        output = convolution(level)
        return torch.autograd.grad(output, (level.x, level.weight), level.grad_output)

    return run


PASSES = {"forward": forward_part, "forward+backward": backward_part}


def op_rows(case: Case, budget: Budget, channels: int = 256) -> Iterator[Row]:
    """Times forward, and forward with backward, against both references; then the memory.

    Args:
        case: on what.
        budget: how often.
        channels: of the maps, in and out.

    Yields:
        For every comparison the row of the pyramid, the sum of its levels, and then one a level.
    """
    levels = level_inputs(case, channels)
    for name, make_part in PASSES.items():
        for reference, convolution in REFERENCES.items():
            quantity = f"{name} / {reference}"
            against = [make_part(convolution, level) for level in levels]
            reason = why_not(against[-1])
            if reason is not None:
                yield missing_row(MODE, quantity, case, reason, PYRAMID)
                continue
            parts = [make_part(adaptive, level) for level in levels]
            yield from pair_rows(quantity, case, budget, levels, parts, against)
    yield from memory_rows(case, levels)


def pair_rows(
    quantity: str,
    case: Case,
    budget: Budget,
    levels: Sequence[LevelInputs],
    parts: Sequence[Part],
    reference: Sequence[Part],
    active: float | None = None,
) -> Iterator[Row]:
    """Times the levels one after the other, against the levels of a reference.

    Yields:
        The row of the pyramid, the sum of its levels, and then one a level.
    """
    times = time_pairs(parts, reference, device=case.torch_device, budget=budget)
    cells = sum(level.cells for level in levels)
    yield timed_row(MODE, quantity, case, times.total(), PYRAMID, cells=cells, active=active)
    for index, level in enumerate(levels):
        comparison = times.part(index)
        yield timed_row(
            MODE, quantity, case, comparison, level.level, cells=level.cells, active=active
        )


def memory_rows(case: Case, levels: Sequence[LevelInputs]) -> Iterator[Row]:
    """Memory of the forward beyond its output, as a share of what it may take.

    Yields:
        The row of the pyramid, whose levels run one after the other: that of its worst level. Then
        one a level.
    """
    rows = []
    for level in levels:
        extra = extra_memory(partial(adaptive, level), case.torch_device)
        if extra is None:
            yield missing_row(MODE, MEMORY, case, "no high-water mark of memory here", PYRAMID)
            return
        allowed = 0.05 * level.x.nbytes + 8 * MIB
        rows.append(
            Row(
                MODE,
                MEMORY,
                case,
                level.level,
                ratio=extra / allowed,
                value=extra / MIB,
                reference=allowed / MIB,
                unit="MiB",
                cells=level.cells,
            )
        )
    worst = max(rows, key=lambda row: row.ratio or 0.0)
    yield Row(
        MODE,
        MEMORY,
        case,
        PYRAMID,
        ratio=worst.ratio,
        value=worst.value,
        reference=worst.reference,
        unit="MiB",
        cells=worst.cells,
        target=limit_of(MODE, MEMORY, case, PYRAMID),
    )
    yield from rows


def why_not(part: Part) -> str | None:
    """Why a reference cannot do what is asked of it, in one line; None if it can."""
    try:
        part()
    except RuntimeError as error:  # such as a dtype that it does not have
        # Without the place in torch's sources, which is of another machine.
        return re.sub(r"^.*\.(cpp|cu|h)\S*\s*", "", str(error).splitlines()[0])
    return None
