"""Checkpoints of mmdet and of the authors of Cascade RPN, Grid R-CNN Plus and CPM R-CNN ->
Detectron2's, for a model of ours.

Every weight of the file ends in the model or is dropped for a reason that the result states, and
every weight of the model comes from the file; otherwise nothing is converted. Values stay what they
are, but that classes and anchors are brought into Detectron2's order, that the convolutions of all
edges of a grid become one, and that a location branch which was trained with exchanged labels is
turned round, see :mod:`.location_polarity`. Norms that CPM R-CNN's code has merged into scale and
shift get statistics that change nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..files.atomic import write_atomically
from ..files.folders import make_writable
from .dialects import dialect_of
from .export import AUTHOR
from .foreign_file import read_foreign_file, without_wrapper
from .grid_names import join_edges
from .location_polarity import (
    LocationStatistics,
    PolarityChoice,
    decide_polarity,
    turned_round,
)
from .mmdet_names import is_location, translate
from .retinanet_names import DELTAS
from .state_dict import prefix_of
from .tensor_file import left_out_words
from .training_config import StatedInput, input_differences
from .worlds import World, require_geometry, require_plain_p7, world_of

_COUNTER = "counters of batches, which frozen norms do not have"


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint, and where everything in it comes from.

    Args:
        state: the model's state dict, float32 on the CPU.
        world: what the file takes for granted; None if its names do not tell.
        mapped: name in the file -> name in the model.
        dropped: name in the file -> why it is left out.
        notes: sentences about what the file says and the model has otherwise, and about what was
            done to a location branch.
    """

    state: dict[str, Tensor]
    world: World | None
    mapped: dict[str, str]
    dropped: dict[str, str]
    notes: tuple[str, ...] = ()

    def report(self) -> str:
        """A few lines for the user."""
        reasons = Counter(self.dropped.values())
        dropped = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        lines = [f"{len(self.mapped)} tensors mapped, {len(self.dropped)} dropped"]
        lines[0] += f" ({dropped})." if dropped else "."
        if self.world is None:
            lines.append(
                "The names do not tell mmdet 1.x from later: of 1.x, whose anchors are centred "
                "half a stride into the cell, the config would have to have anchor offset 0.5."
            )
        else:
            lines.append(f"A file of {self.world.name}. It needs {self.world.needs}.")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def convert_state(
    state: Mapping[str, Tensor], target: nn.Module | Mapping[str, Sequence[int]]
) -> Conversion:
    """Convert a state dict, a location branch as it is.

    Args:
        state: names and values of mmdet (2.x, 3.x; of 1.x those of RPN, GA-RPN, RetinaNet,
            GA-RetinaNet, Fast, Faster, Cascade and Grid R-CNN) or of the authors of Cascade RPN,
            Grid R-CNN Plus or CPM R-CNN, with or without ``module.`` in front.
        target: the model to convert for, whose geometry is then checked too; or names and shapes
            of its state dict.

    Raises:
        ValueError: if a name is not known, a shape is another one than the model's, a value is not
            finite, the model needs a weight that is not there, or it is of another geometry; says
            which is the first, in words that begin with "it".
    """
    state = without_wrapper(state)
    world = world_of(state)
    if isinstance(target, nn.Module):
        if world is not None:
            require_geometry(world, target)
        if DELTAS in state:
            require_plain_p7(target)
        shapes = {key: tuple(value.shape) for key, value in target.state_dict().items()}
    else:
        shapes = {key: tuple(shape) for key, shape in target.items()}

    values: dict[str, Tensor] = {}
    mapped: dict[str, str] = {}
    dropped: dict[str, str] = {}
    sources: dict[str, str] = {}
    dialect = dialect_of(state, world)
    complete = join_edges(dialect.complete(state))
    for key, value in complete.state.items():
        reason = dialect.why_left_out(key)
        if reason is not None:
            dropped[key] = reason
            continue
        name = translate(key, dialect.names)
        if name is None:
            raise ValueError(_unknown(key))
        if name.endswith("num_batches_tracked") and name not in shapes:
            dropped[key] = _COUNTER
            continue
        if name in sources:
            raise ValueError(
                f"it has '{sources[name]}' and '{key}', both for '{name}': save the weights of "
                "one model alone."
            )
        sources[name] = key
        values[name] = dialect.reorder(key, value)
        _require_place(key, name, values[name], shapes)
        mapped.update((source, name) for source in complete.sources.get(key, (key,)))
    for name in shapes:
        if name not in sources:
            raise ValueError(f"it lacks '{name}', which the model needs: give another config.")
    mapped = {key: name for key, name in mapped.items() if key in state}
    converted = {name: _own_float32(sources[name], value) for name, value in values.items()}
    return Conversion(converted, world, mapped, dropped)


def convert_checkpoint(
    src: str | os.PathLike[str],
    model: nn.Module,
    *,
    location_polarity: PolarityChoice = "auto",
    measure: Callable[[nn.Module], LocationStatistics | None] | None = None,
) -> Conversion:
    """Read and convert a file; see :func:`convert_state`.

    Args:
        src: a file as :func:`~.foreign_file.read_foreign_file` takes it.
        model: the model to convert for.
        location_polarity: what to do with a location branch: ``"keep"`` or ``"flip"`` it, or decide
            by what was measured.
        measure: measures what the location branch of a model says of images; it is given ``model``
            with the weights of the file, if that has such a branch and is not to be kept or
            flipped. Without it, such a branch stays as it is.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it cannot be converted; one sentence with the file's name.
    """
    file = read_foreign_file(src)
    if prefix_of(file.state, model.state_dict().keys()) is not None:
        raise ValueError(
            f"{os.fspath(src)} has Detectron2's names already, those of the config's model: use it "
            "as it is."
        )
    try:
        notes = input_differences(StatedInput.from_text(file.config_text), model)
        if file.left_out:
            notes = [*notes, f"It {left_out_words(file.left_out)}."]
        conversion = convert_state(file.state, model)
    except ValueError as error:
        raise ValueError(f"{os.fspath(src)} does not fit the config: {error}") from error
    conversion = replace(conversion, notes=tuple(notes))
    branch = {ours for theirs, ours in conversion.mapped.items() if is_location(theirs)}
    if not branch:
        if location_polarity != "auto":
            raise ValueError(
                f"{os.fspath(src)} has no location branch to {location_polarity}: leave out the "
                "location polarity."
            )
        return conversion
    statistics = None
    if location_polarity == "auto" and measure is not None:
        model.load_state_dict(conversion.state)
        statistics = measure(model)
    decision = decide_polarity(statistics, location_polarity)
    state = turned_round(conversion.state, branch) if decision.flip else conversion.state
    return replace(conversion, state=state, notes=(*notes, decision.reason))


def write_conversion(conversion: Conversion, dst: str | os.PathLike[str]) -> None:
    """Write a converted checkpoint, whole or not at all.

    Args:
        conversion: what to write, as ``{"model", "__author__", "matching_heuristics": False}``.
        dst: the file, ending in ``.pth``; its folder is made if need be.

    Raises:
        OSError: if it cannot be written.
        ValueError: if it does not end in ``.pth``.
    """
    target = Path(dst)
    check_destination(target)
    make_writable(target.parent, f"the folder of {target}", "give another path.")
    content = {"model": conversion.state, "__author__": AUTHOR, "matching_heuristics": False}
    write_atomically(target, lambda file: torch.save(content, file))


def check_destination(
    dst: str | os.PathLike[str], src: str | os.PathLike[str] | None = None
) -> None:
    """Make sure that a converted checkpoint can be written, before the work.

    Args:
        dst: the file to write.
        src: the file to convert.

    Raises:
        ValueError: if ``dst`` does not end in ``.pth``, or is ``src``.
    """
    target = Path(dst)
    if target.suffix != ".pth":
        raise ValueError(f"A checkpoint must be named *.pth to be loadable, not '{target}'.")
    if src is not None and target.resolve() == Path(src).resolve():
        raise ValueError(f"{target} would be overwritten by its own conversion: name another file.")


def _unknown(key: str) -> str:
    if key.startswith("ema_"):
        return (
            f"it has '{key}', a second set of weights of mmcv's moving average, and not which of "
            "the two is the average: save the one to use without the other."
        )
    return (
        f"it has '{key}', which is no weight of a ResNet with FPN, RPN, Cascade RPN, GA-RPN, "
        "Fast, Faster or Cascade R-CNN, or (GA-)RetinaNet: only these can be converted."
    )


def _require_place(
    key: str, name: str, value: Tensor, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    if name not in shapes:
        raise ValueError(
            f"it has '{key}' ('{name}' here), which the model does not: give another config."
        )
    if tuple(value.shape) != shapes[name]:
        raise ValueError(
            f"it has '{key}' of shape {tuple(value.shape)} for '{name}' of shape {shapes[name]}: "
            "give another config."
        )


def _own_float32(key: str, value: Tensor) -> Tensor:
    # A copy, or the file would hold the whole storage behind a view.
    own = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if not own.is_floating_point():
        return own
    if not own.isfinite().all():
        raise ValueError(f"it has values in '{key}' that are not finite: give another checkpoint.")
    return own.float()
