"""Checkpoints that survive a kill and a full disk, and that say which model they are of.

Built on Detectron2's checkpointer, so its ``.pkl`` files, ``detectron2://`` and ``https://``
addresses and ``?matching_heuristics=True`` are understood, though nothing in a file is run; so are
torchvision's ResNets and VGG-16 as they are published, and Lightning's checkpoints. A file of ours
holds ``model``, the weights to predict with, whatever else is asked for under its own key, and
``iteration``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import parse_qs

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import Tensor, nn

from ..files.atomic import remove_leftovers, write_atomically
from ..files.download import local_path
from .state_dict import detectron2_content, prefix_of, remove_wrapper, require_tensors
from .tensor_file import TensorFile, left_out_words, read_tensor_file
from .torchvision import (
    convert_torchvision_resnet,
    convert_torchvision_vgg16,
    is_torchvision_resnet,
    is_torchvision_vgg,
    is_torchvision_vgg16,
)

logger = logging.getLogger(__name__)

# How many keys of each kind a message names.
_NAMED_KEYS = 3


class Checkpointer(DetectionCheckpointer):
    """Reads and writes checkpoints.

    Args:
        model: the module whose weights are stored under ``model``.
        save_dir: folder for :meth:`save`; must exist by then.
        tag_last: whether each file that is written becomes the one that :meth:`resume` reads.
        checkpointables: further objects with ``state_dict`` and ``load_state_dict``, stored under
            the names of these arguments.

    Attributes:
        extra: further values that :meth:`save` stores in every file.
    """

    def __init__(
        self, model: nn.Module, save_dir: str = "", *, tag_last: bool = True, **checkpointables: Any
    ) -> None:
        super().__init__(model, save_dir, **checkpointables)
        self.tag_last = tag_last
        self.extra: dict[str, Any] = {}
        self._strict = True
        self._path = ""

    def save(self, name: str, **extra: Any) -> None:
        """Write ``<save_dir>/<name>.pth`` on the main process; on the others do nothing.

        Args:
            name: name of the file without its suffix.
            extra: further values to store.

        Raises:
            OSError: if the file cannot be written; the files written before it are intact.
            FloatingPointError: if a weight is NaN or infinite; nothing is written.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        path = os.path.join(self.save_dir, f"{name}.pth")
        self._refuse_non_finite(path)
        data = {"model": self.model.state_dict()}
        data |= {key: part.state_dict() for key, part in self.checkpointables.items()}
        data |= self.extra | extra
        # Of checkpoints only: an evaluation may be writing its results to the same folder.
        remove_leftovers(self.save_dir, "*.pth*")
        logger.info("Saving checkpoint to %s", path)
        write_atomically(path, lambda file: torch.save(data, file))
        if self.tag_last:
            self.tag_last_checkpoint(os.path.basename(path))

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Make a file of ``save_dir`` the one that :meth:`resume` reads."""
        content = last_filename_basename.encode()
        write_atomically(
            os.path.join(self.save_dir, "last_checkpoint"), lambda file: file.write(content)
        )

    def load(
        self, path: str, checkpointables: Sequence[str] | None = None, *, strict: bool = True
    ) -> dict[str, Any]:
        """Load the model, and with it the checkpointables that the file has.

        Args:
            path: file or address; an empty one loads nothing.
            checkpointables: names of those to load; None means all.
            strict: whether every weight of the model must be in the file and the other way round.
                Otherwise one common weight is enough, as for a pre-trained backbone.

        Returns:
            What the file has besides.

        Raises:
            OSError: if there is no such file, or it cannot be read or downloaded.
            ValueError: if the file is damaged or no checkpoint, or of another model.
        """
        if not path:
            return super().load(path, checkpointables)
        self._strict, self._path = strict, path
        self._require_file(path)
        try:
            return super().load(path, checkpointables)
        finally:
            # Detectron2 leaves this set when a load fails, and then refuses the next one.
            self._parsed_url_during_load = None

    def resume(self) -> dict[str, Any]:
        """Load the file of ``save_dir`` that was written last, with all checkpointables.

        Returns:
            What the file has besides.

        Raises:
            OSError, ValueError: as :meth:`load`; also if the file lacks one of the checkpointables.
        """
        path = self.get_checkpoint_file()
        rest = self.load(path, checkpointables=[])
        absent = [key for key in self.checkpointables if key not in rest]
        if absent:
            raise ValueError(
                f"Checkpoint {path} cannot be resumed from, it has no '{absent[0]}': give it as "
                "train.init_checkpoint to start a new run from its weights."
            )
        for key, part in self.checkpointables.items():
            try:
                part.load_state_dict(rest.pop(key))
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                raise ValueError(
                    f"Checkpoint {path} cannot be resumed from, its '{key}' is not of such a run: "
                    "give it as train.init_checkpoint to start a new run from its weights."
                ) from error
        return rest

    def get_checkpoint_file(self) -> str:
        """The file of ``save_dir`` that ``last_checkpoint`` names; empty if there is none.

        Raises:
            ValueError: if ``last_checkpoint`` holds anything but a name.
        """
        tag = Path(self.save_dir, "last_checkpoint")
        try:
            text = tag.read_text("utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""
        # Never of another folder, as it may come with a run of somebody else.
        name = PureWindowsPath(text).name
        if not name or not name.isprintable():
            raise ValueError(
                f"{tag} does not name a checkpoint: write the name of a file beside it into it, "
                "such as model_final.pth."
            )
        return os.path.join(self.save_dir, name)

    def _require_file(self, path: str) -> None:
        if not os.path.isfile(local_path(path.partition("?")[0])):
            raise FileNotFoundError(
                f"There is no checkpoint {path}: check train.init_checkpoint or the output folder."
            )

    def _load_file(self, filename: str) -> dict[str, Any]:
        file = read_tensor_file(filename)
        if file.left_out:
            logger.warning("%s %s.", filename, left_out_words(file.left_out))
        loaded = detectron2_content(file)
        weights = loaded["model"]
        if not isinstance(weights, MutableMapping) or not weights:
            raise ValueError(f"Checkpoint {filename} has no weights under 'model': give another.")
        require_tensors(filename, weights)
        if file.of_torch:
            self._apply_query(loaded)
        # The names of a trunk, or of parts; Detectron2 finds where in the model they belong.
        if is_torchvision_resnet(weights):
            loaded["model"] = convert_torchvision_resnet(weights)
            loaded["matching_heuristics"] = True
        elif is_torchvision_vgg16(weights):
            loaded["model"] = convert_torchvision_vgg16(weights)
            loaded["matching_heuristics"] = True
        elif is_torchvision_vgg(weights):
            raise ValueError(
                f"Checkpoint {filename} is a VGG of torchvision, but not VGG-16 without norms: "
                "give VGG16_Weights.IMAGENET1K_V1."
            )
        elif not loaded.get("matching_heuristics"):
            self._remove_wrapper(filename, file, weights)
        return loaded

    def _apply_query(self, loaded: dict[str, Any]) -> None:
        """What Detectron2 understands behind a question mark."""
        query = parse_qs(self._path.partition("?")[2], keep_blank_values=True)
        if query.pop("matching_heuristics", ["False"]) == ["True"]:
            loaded["matching_heuristics"] = True
        if query:
            raise ValueError(
                f"Checkpoint {self._path} asks for '{next(iter(query))}': only "
                "?matching_heuristics=True is understood."
            )

    def _remove_wrapper(
        self, filename: str, file: TensorFile, weights: MutableMapping[str, Tensor]
    ) -> None:
        """Understand the weights of a training wrapper such as Lightning's."""
        prefix = prefix_of(weights, self.model.state_dict().keys())
        if prefix is None and weights is file.content.get("state_dict"):
            raise ValueError(
                f"Checkpoint {filename} is of another framework, its weights being under "
                "'state_dict': convert it with `cascade-rpn convert`."
            )
        others = remove_wrapper(weights, prefix) if prefix else []
        if others:
            logger.warning(
                "%d tensors of %s are left aside, which are none of the model's (%s).",
                *(len(others), filename, _some(others)),
            )

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        wrong_shape = {key for key, *_ in incompatible.incorrect_shapes}
        missing = [key for key in incompatible.missing_keys if key not in wrong_shape]
        difference = describe_difference(
            missing, incompatible.unexpected_keys, incompatible.incorrect_shapes
        )
        if not difference:
            return
        if self._strict:
            raise ValueError(
                f"Checkpoint {self._path} is of another model ({difference}): give the config it "
                "was trained with, or another checkpoint."
            )
        # Keys of another shape are among the missing ones; the counters of norms never are.
        absent = set(incompatible.missing_keys)
        own = (key for key in self.model.state_dict() if not key.endswith("num_batches_tracked"))
        used = sum(key not in absent for key in own)
        if not used:
            raise ValueError(
                f"Checkpoint {self._path} has nothing for this model ({difference}): give another "
                "train.init_checkpoint, or an empty one to start from random weights."
            )
        logger.info("%d tensors of %s are used; %s.", used, self._path, difference)

    def _refuse_non_finite(self, path: str) -> None:
        broken = [k for k, p in self.model.named_parameters() if not torch.isfinite(p).all()]
        if broken:
            raise FloatingPointError(
                f"Not writing {path}, for {len(broken)} weights are NaN or infinite "
                f"({_some(broken)}): lower optimizer.lr or set train.clip_grad_norm, and resume "
                "from the checkpoint before."
            )


def describe_difference(
    missing: Sequence[str],
    unexpected: Sequence[str],
    wrong_shapes: Sequence[tuple[str, tuple[int, ...], tuple[int, ...]]],
) -> str:
    """What differs between a checkpoint and a model, as part of a sentence; empty if nothing does.

    Args:
        missing: keys that only the model has.
        unexpected: keys that only the checkpoint has.
        wrong_shapes: key, shape in the checkpoint, shape in the model.
    """
    parts = []
    if missing:
        parts.append(f"{len(missing)} keys are missing: {_some(missing)}")
    if unexpected:
        parts.append(f"{len(unexpected)} keys are unexpected: {_some(unexpected)}")
    if wrong_shapes:
        shapes = [
            f"{key} {tuple(found)} instead of {tuple(own)}" for key, found, own in wrong_shapes
        ]
        parts.append(f"{len(wrong_shapes)} keys are of another shape: {_some(shapes)}")
    return "; ".join(parts)


def _some(keys: Sequence[str]) -> str:
    rest = ", ..." if len(keys) > _NAMED_KEYS else ""
    return ", ".join(keys[:_NAMED_KEYS]) + rest
