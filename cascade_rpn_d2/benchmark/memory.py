"""How much memory a function takes for itself while it runs, beyond what it returns.

On a GPU torch's allocator says so. On a CPU it is the growth of the process's resident memory to
its high-water mark: unlike torch's profiler, which reports the allocations of the calling thread
only, that counts every thread and every library. The mark can be reset, and read, on Linux.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

_PROCESS = Path("/proc/self")


def extra_memory(function: Callable[[], Tensor], device: torch.device, runs: int = 3) -> int | None:
    """Most bytes that ``function`` held at once beyond the tensor that it returns.

    Args:
        function: runs without gradients; called ``runs + 1`` times, the first not counted.
        device: where it runs.
        runs: how often to measure; the largest counts.

    Returns:
        The number of bytes, or None where it cannot be known: on a CPU of another system than
        Linux.
    """
    with torch.no_grad():
        function()
        try:
            measure = _cuda_peak if device.type == "cuda" else _cpu_peak
            return max(measure(function, device) for _ in range(runs))
        except OSError:
            return None


def _cuda_peak(function: Callable[[], Tensor], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    output = function()
    return torch.cuda.max_memory_allocated(device) - before - output.nbytes


def _cpu_peak(function: Callable[[], Tensor], device: torch.device) -> int:
    try:
        # What was freed goes back to the system, or it would be taken again without a trace.
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        pass  # a C library without it keeps little
    (_PROCESS / "clear_refs").write_text("5")  # resets the high-water mark, see proc(5)
    before = _resident("VmRSS")
    output = function()
    return max(0, _resident("VmHWM") - before - output.nbytes)


def _resident(key: str) -> int:
    """A size of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its highest."""
    for line in (_PROCESS / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_PROCESS}/status has no {key}")
