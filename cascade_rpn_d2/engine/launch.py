"""Starts a function in each process of a run: by Detectron2's launcher, or under torchrun."""

from __future__ import annotations

import contextlib
import datetime
import gc
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from detectron2.engine import launch as launch_processes
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException

from .stopping import SIGNALS, Relay, Stopped

_MAIN_IS_DONE = "cascade_rpn_d2/main_is_done"


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
        Stopped: if a signal ended it.
    """
    if num_gpus > torch.cuda.device_count():
        raise ValueError(
            f"--num-gpus is {num_gpus} but torch sees {torch.cuda.device_count()} GPUs here: give "
            "at most that many, 0 for the CPU, or start several CPU processes with torchrun."
        )
    if under_torchrun():
        _join_torchrun(use_gpu=num_gpus > 0)
        try:
            main(*args)
        except Stopped as stop:
            _end(stop)
        finally:
            _leave_group()
        return
    if num_machines > 1 and num_gpus == 0:
        raise ValueError("Several machines without GPUs are started with torchrun.")
    if num_machines > 1 and dist_url == "auto":
        raise ValueError(
            "Several machines need an address to meet at: give the same --dist-url "
            "tcp://<first machine>:<port> on each."
        )
    if num_gpus * num_machines <= 1:
        main(*args)
        return
    relay = Relay(torch.multiprocessing.get_context("spawn").Value("i", 0, lock=False))
    try:
        with relay.sending():
            launch_processes(
                _main, num_gpus, num_machines, machine_rank, dist_url, (main, args, relay)
            )
    except ProcessExitedException as error:
        number = error.exit_code - 128
        if number not in SIGNALS:
            raise
        raise Stopped("", number) from None  # the processes have said it


def under_torchrun() -> bool:
    """Whether torchrun has started this process, which joins others then."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def await_main_process(seconds: float) -> None:
    """Wait until the main process has come here too, at most so long; it does not wait itself.

    This takes no collective, which could wait for ever where processes have stopped in the middle
    of another. To be called once in a run.
    """
    if comm.get_world_size() == 1:
        return
    store = torch.distributed.distributed_c10d._get_default_store()
    if comm.is_main_process():
        store.set(_MAIN_IS_DONE, "1")
        return
    # The store goes with the main process.
    with contextlib.suppress(RuntimeError):
        store.wait([_MAIN_IS_DONE], datetime.timedelta(seconds=seconds))


def _join_torchrun(*, use_gpu: bool) -> None:
    if use_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if use_gpu else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))


def _main(main: Callable[..., Any], args: tuple[Any, ...], relay: Relay) -> None:
    with relay.receiving():
        try:
            main(*args)
        except Stopped as stop:
            _end(stop)
    # After a failure the other processes are ended, and need not be waited for.
    if torch.distributed.is_initialized():
        _leave_group()


def _end(stop: Stopped) -> None:
    """End this process of several. The others may have stopped in the middle of a collective, so
    that leaving the group, as Python does when it ends, could wait for ever."""
    if comm.is_main_process():
        sys.stderr.write(f"\n{stop.message}\n")
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + stop.number)


def _leave_group() -> None:
    """Leave the group, and wait for its threads.

    A thread that is still letting go of the tensors of the last collective while Python ends
    aborts the process. The threads end with the last reference to the group, and Detectron2 keeps
    some.
    """
    torch.distributed.destroy_process_group()
    comm._LOCAL_PROCESS_GROUP = None
    comm.create_local_process_group.cache_clear()
    comm._get_global_gloo_group.cache_clear()
    gc.collect()
