"""What an evaluation was made on: its test data, the model's time for an image, and the machine.

An evaluation's json file has it beside the metrics, under ``"measurement"``.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from ..data.categories import original_name
from ..layers import _library
from .categories import dataset_names
from .machine import cpu_name, package_version
from .recorded_data import recorded_data

KEY = "measurement"
# The first batches of a process fill caches and choose kernels: as many as Detectron2 leaves out.
WARM_UP = 5
_PACKAGES = ("cascade_rpn_d2", "torch", "torchvision", "detectron2")


class TimedModel(nn.Module):
    """A model that an evaluation runs, with a clock around each of its forward passes.

    The time is that of the model alone, from the images in memory to its outputs: neither reading
    the images nor the evaluation of what was found is in it. On a GPU the host waits before and
    after.

    A module around the model rather than hooks on it: ``DetectorWithTTA`` calls none.

    Args:
        model: takes a list of images; on the device that it runs on.
        warm_up: how many forward passes do not count at first.
    """

    def __init__(self, model: nn.Module, warm_up: int = WARM_UP) -> None:
        super().__init__()
        self.model = model
        self.training = model.training  # which is what an evaluation restores
        self.images = 0
        self.seconds: list[float] = []  # of each image that counts; images of a batch have a share
        self._left_out = warm_up

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    def forward(self, images: Sequence[Any]) -> Any:
        """The outputs of the model."""
        start = self._now()
        outputs = self.model(images)
        elapsed = self._now() - start
        self.images += len(images)
        if self._left_out:
            self._left_out -= 1
        else:
            self.seconds += [elapsed / len(images)] * len(images)
        return outputs

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


@dataclass(frozen=True)
class Measurement:
    """What an evaluation was made on.

    Args:
        test_data: name of each dataset, and what a command line called it, if that was a folder
            (``images_dir:annotations.json``), else None.
        images: how many there are.
        seconds: median time of the model for an image; None if no image was timed.
        timed: how many images that is the median of: all but the first of each process.
        machine: what the time belongs to: ``device``, ``threads`` of a CPU, ``processes``,
            ``kernels``, ``versions``. Two times compare if this is equal for both.
    """

    test_data: tuple[tuple[str, str | None], ...]
    images: int
    seconds: float | None = None
    timed: int = 0
    machine: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As an evaluation's file has it."""
        return {
            "test_data": [
                {"name": name, **({} if data is None else {"data": data})}
                for name, data in self.test_data
            ],
            "images": self.images,
            "median_seconds_per_image": self.seconds,
            "images_timed": self.timed,
            **self.machine,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Measurement:
        """What :meth:`to_json` made.

        Raises:
            KeyError, TypeError: if it is something else.
        """
        rest = dict(content)
        return cls(
            test_data=tuple((entry["name"], entry.get("data")) for entry in rest.pop("test_data")),
            images=rest.pop("images"),
            seconds=rest.pop("median_seconds_per_image"),
            timed=rest.pop("images_timed"),
            machine=rest,
        )


def measurement_of(config: DictConfig, model: TimedModel) -> Measurement:
    """What an evaluation was made on, when it is done. Call it in all processes.

    Args:
        config: of the evaluation.
        model: which all its images went through, those of a process in that process.
    """
    parts = comm.all_gather((model.images, model.seconds))
    seconds = [each for _, own in parts for each in own]
    recorded = recorded_data(config)
    names = map(original_name, dataset_names(config, "test"))
    return Measurement(
        test_data=tuple((name, recorded.get(name)) for name in names),
        images=sum(images for images, _ in parts),
        seconds=statistics.median(seconds) if seconds else None,
        timed=len(seconds),
        machine={"processes": len(parts), **machine(model.device)},
    )


def machine(device: torch.device) -> dict[str, Any]:
    """What the times on a device belong to, as plain values."""
    on_gpu = device.type == "cuda"
    versions = {name: package_version(name) for name in _PACKAGES}
    if on_gpu:
        versions |= {"CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else cpu_name(),
        **({} if on_gpu else {"threads": torch.get_num_threads()}),
        "kernels": "compiled" if _library.is_compiled_for(device) else "pure-torch fallback",
        "versions": {**versions, "Python": platform.python_version()},
    }
