"""How the command lines end up in every process of a run, and how they fail."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable

from .launch import launch
from .messages import mendable_message


def run_command(tool: str, main: Callable[[Namespace], None], args: Namespace) -> None:
    """Call ``main(args)`` in every process that the arguments ask for.

    A failure that the user can mend ends the program with one sentence, others with a traceback.

    Args:
        tool: name of the program, which the sentence begins with.
        main: importable by name, as it is started in new processes.
        args: with ``num_gpus, num_machines, machine_rank, dist_url``.

    Raises:
        SystemExit: with the sentence.
    """
    try:
        launch(
            main,
            (args,),
            num_gpus=args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
        )
    except Exception as error:
        message = mendable_message(error)
        if message is None:
            raise
        sys.exit(f"{tool}: {message}")
