"""Where the weights are in what a file holds, and what stands before their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from ..files.untrusted import shown
from .tensor_file import TensorFile


def detectron2_content(file: TensorFile) -> dict[str, Any]:
    """What a file holds as Detectron2's checkpointer takes it, the weights being under ``model``.

    Understood are files of Detectron2, Detectron (Caffe2), pycls and Lightning, and bare state
    dicts; ``model`` is None if there are no weights.
    """
    content = file.content
    if not isinstance(content, Mapping):
        return {"model": None}
    if "model" in content:
        return dict(content)
    if isinstance(content.get("model_state"), Mapping):  # of pycls
        state = {
            key: value
            for key, value in content["model_state"].items()
            if not str(key).endswith("num_batches_tracked")
        }
        return {"model": state, "__author__": "pycls", "matching_heuristics": True}
    if not file.of_torch:  # of Detectron; its ImageNet models have no "blobs"
        blobs = content.get("blobs", content)
        state = {key: value for key, value in blobs.items() if not str(key).endswith("_momentum")}
        return {"model": state, "__author__": "Caffe2", "matching_heuristics": True}
    if isinstance(content.get("state_dict"), Mapping):  # of Lightning
        rest = {key: value for key, value in content.items() if key != "state_dict"}
        return {**rest, "model": content["state_dict"]}
    return {"model": content}


def require_tensors(path: str, state: MutableMapping[Any, Any]) -> None:
    """Make numpy arrays tensors, in place, and check that there is nothing else.

    Raises:
        ValueError: names the file and the first that is neither.
    """
    for key, value in list(state.items()):
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            state[key] = value = torch.from_numpy(value)
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{path} has '{shown(key)}' among its weights, which is no tensor: give a "
                "checkpoint of a model's weights."
            )


def prefix_of(names: Iterable[str], own: Collection[str]) -> str | None:
    """What a wrapper, such as Lightning's module, has put before a model's own names.

    Args:
        names: in the file.
        own: of the model.

    Returns:
        ``""`` if names are the model's as they are; such as ``"model."`` if at least half of the
        model's are found behind it; None otherwise.
    """
    # Names without a dot, such as "pixel_mean", say little: many a name ends in "weight".
    own = {name for name in own if "." in name}
    found = Counter(
        name[:start]
        for name in names
        for start in [0, *(at + 1 for at, letter in enumerate(name) if letter == ".")]
        if name[start:] in own
    )
    if found[""]:
        return ""
    prefix, count = max(found.items(), key=lambda item: (item[1], -len(item[0])), default=("", 0))
    return prefix if count and 2 * count >= len(own) else None


def remove_wrapper(state: MutableMapping[str, Tensor], prefix: str) -> list[str]:
    """Take the wrapper's prefix off the names, in place.

    Returns:
        Names of what the wrapper had besides the model, which is removed.
    """
    others = [name for name in state if not name.startswith(prefix)]
    for name in others:
        del state[name]
    consume_prefix_in_state_dict_if_present(state, prefix)  # type: ignore[arg-type]
    return others
