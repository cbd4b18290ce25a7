"""One setting that is measured: where, in which precision, on which shapes and boxes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

# float32 and tf32 have the same tensors; tf32 lets a GPU round the factors of their products.
DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
BOXES = ("trained", "spread")


@dataclass(frozen=True)
class Case:
    """What a measurement is taken on; None where it makes no difference to it.

    Attributes:
        device: such as ``"cpu"`` or ``"cuda:0"``.
        dtype: a key of :data:`DTYPES`.
        threads: threads of the CPU; None on a GPU.
        image_size: height and width in pixels.
        batch: images at once.
        layout: a key of :data:`LAYOUTS`, of the maps and of the weights.
        boxes: one of :data:`BOXES`, see :func:`.inputs.random_boxes`.
    """

    device: str
    dtype: str
    threads: int | None
    image_size: tuple[int, int]
    batch: int
    layout: str | None = None
    boxes: str | None = None

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    @property
    def memory_format(self) -> torch.memory_format:
        return LAYOUTS[self.layout or "contiguous"]

    def autocast(self) -> AbstractContextManager:
        """Mixed precision for whole models, whose weights stay float32."""
        if self.torch_dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.torch_device.type, dtype=self.torch_dtype)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Sets the number of threads and whether TF32 may be used; puts both back afterwards."""
        threads = torch.get_num_threads()
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        tf32 = matmul.allow_tf32, cudnn.allow_tf32
        try:
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            matmul.allow_tf32 = cudnn.allow_tf32 = self.dtype == "tf32"
            yield
        finally:
            torch.set_num_threads(threads)
            matmul.allow_tf32, cudnn.allow_tf32 = tf32


def all_cases(
    *,
    devices: Sequence[str],
    dtypes: Sequence[str] | None,
    threads: Sequence[int],
    image_sizes: Sequence[tuple[int, int]],
    batches: Sequence[int],
    layouts: Sequence[str],
    boxes: Sequence[str],
) -> list[Case]:
    """Every combination.

    Args:
        devices: such as ``["cpu", "cuda"]``.
        dtypes: keys of :data:`DTYPES`; None takes float32 on a CPU and all of them on a GPU.
        threads: numbers of threads to measure a CPU with; a GPU is measured once.
        image_sizes: heights and widths in pixels.
        batches: images at once.
        layouts: keys of :data:`LAYOUTS`.
        boxes: some of :data:`BOXES`.

    Raises:
        ValueError: if tf32 is asked of a CPU.
    """
    cases = []
    for device in devices:
        on_cpu = torch.device(device).type == "cpu"
        wanted = dtypes or (["float32"] if on_cpu else list(DTYPES))
        if on_cpu and "tf32" in wanted:
            raise ValueError("tf32 is a precision of GPUs: give float32 on the CPU.")
        settings = itertools.product(
            wanted, threads if on_cpu else [None], image_sizes, batches, layouts, boxes
        )
        cases += [Case(device, *setting) for setting in settings]
    return cases
