"""Where plain, dilated, deformable and adaptive convolutions read for the same cells of an image
(Cascade RPN, Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..modeling import AdaptiveAlignment, ConvAlignment, Grid, LearnedAlignment
from ..modeling.proposal_generator import StageStep
from ..modeling.proposal_generator.alignment import square_boxes
from ..visualization import Sampling, deformed_points, grid_points, sampling_points
from .generators import Trace


@dataclass(frozen=True)
class Cell:
    """A cell of a feature map.

    Args:
        level: name of the map, such as ``"p3"``.
        row: from 0 at the top.
        column: from 0 at the left.
    """

    level: str
    row: int
    column: int

    @classmethod
    def parse(cls, text: str) -> Cell:
        """A cell written as ``level,row,column``, such as ``"p3,10,12"``.

        Raises:
            ValueError: if it is not written like that.
        """
        level, *numbers = (part.strip() for part in text.split(","))
        if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            raise ValueError(f"Write a cell as level,row,column, such as p3,10,12, not '{text}'.")
        return cls(level, int(numbers[0]), int(numbers[1]))

    def __str__(self) -> str:
        return f"{self.level},{self.row},{self.column}"


def best_cell(trace: Trace) -> Cell:
    """The cell whose box the last stage scores highest.

    Raises:
        ValueError: if no box has a width and a height.
    """
    last = trace.steps[-1]
    assert last.prediction.logits is not None  # checked when the stages were put together
    width, height = (last.refined[0, :, 2:] - last.refined[0, :, :2]).unbind(-1)
    scores = last.prediction.logits[0].float()
    scores = scores.masked_fill((width <= 0) | (height <= 0) | ~scores.isfinite(), -torch.inf)
    if scores.max() == -torch.inf:
        raise ValueError("The model proposes no box on this image: give another image.")
    index = int(scores.argmax()) // trace.generator.num_anchors
    for level, grid in zip(trace.generator.in_features, trace.grids, strict=True):
        if index < grid.cells:
            return Cell(level, index // grid.width, index % grid.width)
        index -= grid.cells
    raise AssertionError("every box belongs to a cell")


def plain_samplings(trace: Trace, cells: Sequence[Cell]) -> list[Sampling]:
    """What a plain 3x3 convolution reads, and the dilated one of stage 1 if it has one.

    Args:
        trace: a cascade at work on an image.
        cells: on one level.

    Returns:
        In pixels of the image, with the anchors of the cells.

    Raises:
        ValueError: if a cell does not exist.
    """
    first = trace.steps[0]
    places = _Places(trace, cells)
    boxes = places.boxes(first.state.boxes)
    anchors = None if boxes is None else places.to_image(boxes)
    plain = grid_points(places.centers, places.grid.stride)
    found = [Sampling("Plain", places.to_image(plain), anchors, "dilation 1, the anchor")]
    dilation = _dilation(first)
    if dilation > 1:
        points = grid_points(places.centers, places.grid.stride * dilation)
        caption = f"stage 1, dilation {dilation}, the anchor"
        found.append(Sampling("Dilated", places.to_image(points), anchors, caption))
    return found


def learned_sampling(trace: Trace, cells: Sequence[Cell]) -> Sampling:
    """What the first deformable convolution of a model reads, with the boxes it is given.

    Args:
        trace: a cascade at work on an image.
        cells: on one level.

    Raises:
        ValueError: if no stage has learned offsets, or a cell does not exist.
    """
    number, step = _first(trace, LearnedAlignment)
    places = _Places(trace, cells)
    align = step.stage.align
    assert isinstance(align, LearnedAlignment)
    with torch.no_grad():
        offsets = align.offset(step.state.features[places.level])[0]  # (2*K*K, H, W)
    at_cells = np.stack([offsets[:, c.row, c.column].float().cpu().numpy() for c in cells])
    points = deformed_points(places.centers, at_cells, places.grid.stride)
    boxes = places.boxes(step.state.boxes)
    return Sampling(
        "Deformable",
        places.to_image(points),
        None if boxes is None else places.to_image(boxes),
        f"stage {number}, learned offsets, its box",
    )


def adaptive_sampling(trace: Trace, cells: Sequence[Cell]) -> Sampling:
    """What the first adaptive convolution of a model reads, with the boxes it is given.

    Args:
        trace: a cascade at work on an image.
        cells: on one level.

    Raises:
        ValueError: if no stage has an adaptive convolution, or a cell does not exist.
    """
    number, step = _first(trace, AdaptiveAlignment)
    places = _Places(trace, cells)
    boxes = places.boxes(step.state.boxes)
    assert boxes is not None  # an adaptive convolution takes one box a cell
    read, what = boxes, "taps span the box"
    align = step.stage.align
    assert isinstance(align, AdaptiveAlignment)
    if align.center_only:
        squares = square_boxes(torch.from_numpy(boxes), 2 * places.grid.stride)
        read, what = squares.numpy(), "taps follow the centre"
    points = places.to_image(sampling_points(read))
    return Sampling("Adaptive", points, places.to_image(boxes), f"stage {number}, {what}")


def cell_centers(trace: Trace, level: str) -> npt.NDArray[np.float64]:
    """Centres (n, 2) of all cells of a level, x and y in pixels of the image."""
    grid = _grid(trace, level)
    rows, columns = np.mgrid[: grid.height, : grid.width]
    cells = [Cell(level, int(r), int(c)) for r, c in zip(rows.flat, columns.flat, strict=True)]
    return centers_of(trace, cells)


def centers_of(trace: Trace, cells: Sequence[Cell]) -> npt.NDArray[np.float64]:
    """Centres (n, 2) of cells of one level, x and y in pixels of the image.

    Raises:
        ValueError: if a cell does not exist, or they are on several levels.
    """
    places = _Places(trace, cells)
    return places.to_image(places.centers)


class _Places:
    """Where some cells of one level are, in pixels as the model sees them.

    Args:
        trace: a cascade at work on an image.
        cells: at least one.

    Raises:
        ValueError: if a cell does not exist, or they are on several levels.
    """

    def __init__(self, trace: Trace, cells: Sequence[Cell]) -> None:
        levels = sorted({cell.level for cell in cells})
        if len(levels) != 1:
            raise ValueError(f"Give cells of one level, not of {', '.join(levels) or 'none'}.")
        self.grid = _grid(trace, levels[0])
        self.level = trace.generator.in_features.index(levels[0])
        for cell in cells:
            if cell.row >= self.grid.height or cell.column >= self.grid.width:
                raise ValueError(
                    f"Cell {cell} is outside the map: {cell.level} has {self.grid.height} rows and "
                    f"{self.grid.width} columns on this image."
                )
        self._num_anchors = trace.generator.num_anchors
        before = sum(grid.cells for grid in trace.grids[: self.level])
        self._indices = [before + c.row * self.grid.width + c.column for c in cells]
        self._factors = np.array(trace.to_image)
        offset = float(trace.generator.anchor_generator.offset)
        positions = np.array([(c.column, c.row) for c in cells], np.float64)
        self.centers = (positions + offset) * self.grid.stride  # (n, 2)

    def boxes(self, boxes: Tensor) -> npt.NDArray[np.float64] | None:
        """The boxes (n, 4) of the cells among all (1, R, 4); None if a cell has several."""
        if self._num_anchors != 1:
            return None
        return boxes[0, self._indices].double().cpu().numpy()

    def to_image(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points (..., 2) or boxes (..., 4) in pixels of the image that was given."""
        return places * np.tile(self._factors, places.shape[-1] // 2)


def _grid(trace: Trace, level: str) -> Grid:
    names = trace.generator.in_features
    if level not in names:
        raise ValueError(f"There is no level '{level}': the model has {', '.join(names)}.")
    return trace.grids[names.index(level)]


def _dilation(step: StageStep) -> int:
    align = step.stage.align
    return int(align.conv.dilation[0]) if isinstance(align, ConvAlignment) else 1


def _first(trace: Trace, kind: type) -> tuple[int, StageStep]:
    """The first stage with an alignment of a kind, and its number from 1."""
    for number, step in enumerate(trace.steps, start=1):
        if isinstance(step.stage.align, kind):
            return number, step
    have = ", ".join(type(step.stage.align).__name__ for step in trace.steps)
    raise ValueError(
        f"No stage of the model has the alignment {kind.__name__}, only {have}: give another "
        "config."
    )
