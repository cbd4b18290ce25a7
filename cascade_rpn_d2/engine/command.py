"""How the commands run in every process that they ask for, and how they fail."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable

import torch

from ..config.files import trusting_configs
from .launch import launch, under_torchrun
from .messages import mendable_message
from .stopping import Stopped, stop_on_signals


def run_command(program: str, main: Callable[[Namespace], int | None], args: Namespace) -> int:
    """Call ``main(args)``, in every process of a run if the arguments are of one.

    A failure that the user can mend ends the program with one sentence, others with a traceback.
    Ctrl-C, SIGTERM and SIGUSR1 end it with a sentence too, see :mod:`.stopping`.

    Args:
        program: what the sentence begins with.
        main: importable by name, as it is started in new processes.
        args: with ``num_gpus, num_machines, machine_rank, dist_url`` if it may have several
            processes; ``num_gpus`` None becomes 1 where there is a GPU. ``trust_config`` trusts
            all configs that it reads.

    Returns:
        The exit status: what ``main`` returns, or 0; 130, 143 or 138 if a signal stopped it.

    Raises:
        SystemExit: with the sentence, which is the exit status 1.
    """
    try:
        with stop_on_signals(forwarded=under_torchrun()):
            return _run(main, args)
    except Stopped as stop:
        if stop.message:
            sys.stderr.write(f"\n{program}: {stop.message}\n")
        return 128 + stop.number
    except Exception as error:
        message = mendable_message(error)
        if message is None:
            raise
        sys.exit(f"{program}: {message}")


def _run(main: Callable[[Namespace], int | None], args: Namespace) -> int:
    if "num_gpus" not in args:
        return _main(main, args) or 0
    if args.num_gpus is None:
        args.num_gpus = int(torch.cuda.is_available())
    launch(
        _main,
        (main, args),
        num_gpus=args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
    )
    return 0


def _main(main: Callable[[Namespace], int | None], args: Namespace) -> int | None:
    """What every process does."""
    with trusting_configs(getattr(args, "trust_config", False)):
        return main(args)
