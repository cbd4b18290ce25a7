"""Starts a function in each process of a run: by Detectron2's launcher, or under torchrun."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

import torch
from detectron2.engine import launch as launch_processes
from detectron2.utils import comm


def launch(
    main: Callable[..., Any],
    args: tuple[Any, ...] = (),
    *,
    num_gpus: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "auto",
) -> None:
    """Call ``main(*args)`` in every process of the run.

    Under torchrun, which says so in the environment, this process joins its group; with
    ``num_gpus`` 0 the group works on CPUs.

    Args:
        main: importable by name, because it is started in new processes.
        args: its arguments.
        num_gpus: processes, and GPUs, of this machine; 0 is one process on the CPU.
        num_machines: machines of the run.
        machine_rank: which of them this is.
        dist_url: address at which the processes meet; ``"auto"`` on one machine.

    Raises:
        ValueError: if this machine has fewer GPUs, or if machines have no address to meet at.
    """
    if num_gpus > torch.cuda.device_count():
        raise ValueError(
            f"--num-gpus is {num_gpus} but torch sees {torch.cuda.device_count()} GPUs here: give "
            "at most that many, 0 for the CPU, or start several CPU processes with torchrun."
        )
    if "WORLD_SIZE" in os.environ and "RANK" in os.environ:
        _join_torchrun(use_gpu=num_gpus > 0)
        try:
            main(*args)
        finally:
            _leave_torchrun()
        return
    if num_machines > 1 and num_gpus == 0:
        raise ValueError("Several machines without GPUs are started with torchrun.")
    if num_machines > 1 and dist_url == "auto":
        raise ValueError(
            "Several machines need an address to meet at: give the same --dist-url "
            "tcp://<first machine>:<port> on each."
        )
    launch_processes(main, num_gpus, num_machines, machine_rank, dist_url, args)


def _join_torchrun(*, use_gpu: bool) -> None:
    if use_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if use_gpu else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))


def _leave_torchrun() -> None:
    # Detectron2 holds on to groups. One of gloo that lives on until the interpreter ends has
    # threads which may then abort the process, after all its work was done.
    comm._get_global_gloo_group.cache_clear()
    comm.create_local_process_group.cache_clear()
    comm._LOCAL_PROCESS_GROUP = None
    torch.distributed.destroy_process_group()
    gc.collect()
