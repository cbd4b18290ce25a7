"""The meter of memory on allocations of known size."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from cascade_rpn_d2.benchmark import memory
from cascade_rpn_d2.benchmark.memory import extra_memory

MIB = 2**20
CPU = torch.device("cpu")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/clear_refs")


def ones(mebibytes: int) -> torch.Tensor:
    return torch.ones(mebibytes * MIB, dtype=torch.uint8)


@linux
@pytest.mark.parametrize("size", [0, 24])
def test_temporary_memory_counts_and_the_output_does_not(size):
    def function():
        temporary = ones(size)
        output = ones(40)
        del temporary
        return output

    assert extra_memory(function, CPU) == pytest.approx(size * MIB, abs=MIB)


@linux
def test_memory_freed_before_the_output_exists_counts_where_it_is_the_peak(repository):
    # In a process of its own: one that has run other tests has free memory in several places, and
    # what is freed in one of them is not what is taken next.
    program = """
import torch
from cascade_rpn_d2.benchmark.memory import extra_memory

def ones(mebibytes):
    return torch.ones(mebibytes * 2**20, dtype=torch.uint8)

def function():
    ones(50)
    return ones(10)

print(extra_memory(function, torch.device("cpu")))
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert int(run.stdout.split()[-1]) == pytest.approx(40 * MIB, abs=MIB)


@linux
def test_memory_of_other_threads_counts():
    def function():
        thread = threading.Thread(target=ones, args=(32,))
        thread.start()
        thread.join()
        return ones(1)

    assert extra_memory(function, CPU) == pytest.approx(31 * MIB, abs=2 * MIB)


def test_without_a_high_water_mark_it_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "absent")
    assert extra_memory(lambda: ones(1), CPU) is None


@pytest.mark.gpu
def test_a_gpu_counts_its_own_memory():
    def function():
        temporary = torch.ones(8 * MIB, dtype=torch.uint8, device="cuda")
        return temporary[:MIB].clone()

    assert extra_memory(function, torch.device("cuda")) == 8 * MIB
