"""How fast is fast enough: the figures that this package wants to reach, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .case import Case

FORWARD_CONV = "forward / F.conv2d"
FORWARD_TORCHVISION = "forward / torchvision's deform_conv2d"
BACKWARD_CONV = "forward+backward / F.conv2d"
BACKWARD_TORCHVISION = "forward+backward / torchvision's deform_conv2d"
MEMORY = "extra memory of the forward / (5 % of the output + 8 MiB)"
CASCADE_CONV = "Cascade RPN head / pyramid convolution"
TRAIN_CONV = "Cascade RPN training step / pyramid convolution"
ACTIVE_AGREE = "difference of active cells from all cells / rounding"


@dataclass(frozen=True)
class Target:
    """The largest ratio that is good enough, and the cases that it is asked of.

    Attributes:
        mode: of the benchmark.
        quantity: what is measured / what it is measured against.
        limit: the largest ratio that meets the target.
        device: ``"cpu"`` or ``"cuda"``.
        dtypes: precisions that it is asked in.
        threads: numbers of threads that it is asked with; empty for any.
    """

    mode: str
    quantity: str
    limit: float
    device: str
    dtypes: tuple[str, ...] = ("float32",)
    threads: tuple[int, ...] = ()

    def covers(self, mode: str, quantity: str, case: Case) -> bool:
        """Whether the target is asked of this measurement."""
        return (
            (mode, quantity) == (self.mode, self.quantity)
            and case.torch_device.type == self.device
            and case.dtype in self.dtypes
            and (not self.threads or case.threads in self.threads)
        )

    def describe(self) -> str:
        """The cases that it is asked of, in words."""
        device = "CPU" if self.device == "cpu" else "GPU"
        threads = f", {' and '.join(map(str, self.threads))} threads" if self.threads else ""
        return f"{device}, {' and '.join(self.dtypes)}{threads}"


_FULL = ("float32", "tf32")
_HALF = ("bfloat16", "float16")

TARGETS = (
    Target("op", FORWARD_CONV, 1.3, "cpu", threads=(1, 2)),
    Target("op", FORWARD_TORCHVISION, 0.2, "cpu", threads=(2,)),
    Target("op", BACKWARD_CONV, 1.8, "cpu"),
    Target("op", MEMORY, 1.0, "cpu", ("float32",)),
    Target("op", FORWARD_CONV, 1.7, "cuda", _HALF),
    Target("op", FORWARD_TORCHVISION, 0.15, "cuda", (*_FULL, "bfloat16")),
    Target("op", BACKWARD_TORCHVISION, 0.25, "cuda", (*_FULL, *_HALF)),
    Target("head", CASCADE_CONV, 3.0, "cpu"),
    Target("head", CASCADE_CONV, 3.0, "cuda", (*_FULL, *_HALF)),
    Target("train-step", TRAIN_CONV, 9.0, "cpu"),
    Target("train-step", TRAIN_CONV, 9.0, "cuda", (*_FULL, *_HALF)),
    Target("location-threshold", ACTIVE_AGREE, 1.0, "cpu", ("float32", *_HALF)),
    Target("location-threshold", ACTIVE_AGREE, 1.0, "cuda", (*_FULL, *_HALF)),
)


def find_target(mode: str, quantity: str, case: Case) -> Target | None:
    """The target that is asked of a measurement, if there is one."""
    return next((t for t in TARGETS if t.covers(mode, quantity, case)), None)


def targets_of(modes: Iterable[str]) -> list[Target]:
    """All targets of some modes."""
    chosen = set(modes)
    return [target for target in TARGETS if target.mode in chosen]
