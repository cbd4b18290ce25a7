"""The machine and the software that figures belong to."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

import torch

import cascade_rpn_d2

from ..engine.machine import cpu_name, package_version
from ..layers import _library

PACKAGES = ("torch", "torchvision", "detectron2", "mmdet")


def environment(devices: Sequence[str], threads: Sequence[int]) -> dict[str, Any]:
    """What a reader has to know to compare figures; plain values, in the order of the header.

    Args:
        devices: that are measured, such as ``["cpu"]``.
        threads: numbers of threads that the CPU is measured with.
    """
    kinds = [torch.device(device) for device in devices]
    values: dict[str, Any] = {"CPU": f"{cpu_name()}, {os.cpu_count()} logical cores"}
    if any(kind.type == "cpu" for kind in kinds):
        values["threads"] = ", ".join(map(str, threads))
    for kind in kinds:
        if kind.type == "cuda":
            major, minor = torch.cuda.get_device_capability(kind)
            name = torch.cuda.get_device_name(kind)
            values["GPU"] = f"{name}, compute capability {major}.{minor}"
            values["CUDA"] = torch.version.cuda
            values["cuDNN"] = torch.backends.cudnn.version()
    if "GPU" not in values:
        values["GPU"] = "not measured" if torch.cuda.is_available() else "none"
    values["kernels"] = ", ".join(
        f"{kind.type}: {'compiled' if _library.has_kernel(kind) else 'pure-torch fallback'}"
        for kind in kinds
    )
    values["torch's CPU capability"] = torch.backends.cpu.get_cpu_capability()
    values["cascade_rpn_d2"] = cascade_rpn_d2.__version__
    values.update({name: package_version(name) for name in PACKAGES})
    values["Python"] = platform.python_version()
    values["system"] = f"{platform.system()} {platform.machine()}"
    if hasattr(os, "getloadavg"):
        values["load before"] = round(os.getloadavg()[0], 2)
    return values
