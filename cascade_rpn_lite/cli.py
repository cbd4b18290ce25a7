"""The command ``cascade-rpn``: which commands there are, and how one is found and run."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from .arguments import Parser, print_help
from .quiet import quieten, run_quietly

PROGRAM = "cascade-rpn"


@dataclass(frozen=True)
class Command:
    """One command.

    Its module has a docstring, which is the text of its help, ``add_arguments(parser)``, and
    ``run(args)``, which returns an exit status or None; ``check(parser, args)`` may refuse
    arguments that do not go together. A command of several parsers has ``parse(words, program)``
    instead.
    ``run`` is importable by name, because it is started in new processes too.

    Args:
        module: in this package.
        summary: what it does, in one line.
        example: its arguments, as a user would type them.
    """

    module: str
    summary: str
    example: str

    def load(self) -> ModuleType:
        """The module, which imports neither torch nor ``cascade_rpn_d2``."""
        return importlib.import_module(f"{__package__}.{self.module}")


GROUPS: dict[str, dict[str, Command]] = {
    "To begin with": {
        "install-detectron2": Command(
            "install_detectron2",
            "Install Detectron2 from GitHub, or else its copy on the package index",
            "",
        ),
        "demo": Command(
            "demo",
            "Train an RPN and a Cascade RPN side by side and compare their proposals",
            "--output-dir output/demo",
        ),
    },
    "To train and evaluate": {
        "train": Command(
            "train",
            "Train a config, on CPUs or GPUs",
            "--config-file small/cascade_rpn_r18_fpn_1k.py --train-data photos:train.json",
        ),
        "train-alternating": Command(
            "train_alternating",
            "Train a Faster R-CNN in the four steps of its paper",
            "--config-file demo/faster_rcnn.py --output-dir output/mine",
        ),
        "eval": Command(
            "eval",
            "Evaluate a config with trained weights",
            "--config-file output/mine/config.yaml --weights output/mine/model_final.pth",
        ),
        "dump-proposals": Command(
            "dump_proposals",
            "Write the proposals of a dataset to a file, to train Fast R-CNN on",
            "--config-file demo/cascade_rpn.py --data photos:train.json --output train.npz",
        ),
        "finetune": Command(
            "finetune",
            "Fine-tune a trained Faster R-CNN on better proposals than its own",
            "--detector-weights detector.pth "
            "--generator-config guided_anchoring/ga_rpn_r50_fpn_1x.py",
        ),
        "reproduce": Command(
            "reproduce",
            "Train and evaluate the rows of a paper's table",
            'cascade_rpn/table3 --rows 3 "+ Alignment"',
        ),
    },
    "To predict and look": {
        "predict": Command(
            "predict",
            "Draw the boxes of a model on images and videos, and write them as json",
            "--config-file demo/cascade_rpn.py --input photos/ --output drawn/",
        ),
        "visualize": Command(
            "visualize",
            "Draw the figures of the papers from any config and checkpoint",
            "stages --config-file demo/cascade_rpn.py --output stages.png",
        ),
        "convert": Command(
            "convert",
            "Convert a checkpoint of mmdet, or of a paper's authors",
            "theirs.pth ours.pth --config-file cascade_rpn/cascade_rpn_r50_fpn_1x.py",
        ),
        "benchmark": Command(
            "benchmark",
            "Measure how fast operators, heads and detectors are on this machine",
            "--mode op head --quick",
        ),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(words: Sequence[str] | None = None) -> int:
    """Run ``cascade-rpn``.

    Args:
        words: the arguments; those of the process by default.

    Returns:
        The exit status. 0: all went well. 1: data, a config or the run failed, which one sentence
        says. 130, 143, 138: stopped by Ctrl-C, SIGTERM, SIGUSR1.

    Raises:
        SystemExit: with status 2 for arguments that cannot be parsed, and with 1 as above.
    """
    name, *rest = (sys.argv[1:] if words is None else words) or ["--help"]
    if name == "help" and rest:  # of a command
        name, rest = rest[0], ["--help"]
    if name in ("-h", "--help", "help"):
        print_help(help_text())
        return 0
    if name == "--version":
        print(f"{PROGRAM} {importlib.metadata.version('cascade_rpn_d2')}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        advice = f"did you mean '{near[0]}'?" if near else f"{PROGRAM} --help lists them."
        print(f"{PROGRAM}: There is no command '{name}': {advice}", file=sys.stderr)
        return 2
    return run(name, rest, f"{PROGRAM} {name}")


def run_tool(name: str) -> int:
    """Run a command under the name of a script in ``tools/``; returns the exit status."""
    return run(name, sys.argv[1:], Path(sys.argv[0]).name)


def run(name: str, words: Sequence[str], program: str) -> int:
    """Run one command; ``program`` is what usage and error messages call it."""
    try:
        return _run(name, words, program)
    except KeyboardInterrupt:  # before the command heeds signals by itself
        sys.stderr.write(f"\n{program}: stopped by Ctrl-C.\n")
        return 130  # as a shell has it


def _run(name: str, words: Sequence[str], program: str) -> int:
    module = COMMANDS[name].load()
    args = parse(module, words, program)
    if name == "install-detectron2":
        module.run(args)  # what the others need is not there yet
        return 0
    quieten()
    try:
        from cascade_rpn_d2.engine.command import run_command
    except ModuleNotFoundError as error:
        if error.name == "detectron2":  # of which the package itself says how to get it
            sys.exit(f"{program}: {error}")
        if error.name in ("torch", "torchvision"):
            sys.exit(
                f"{program}: {error.name} is not installed: run `pip install torch torchvision`, "
                "or activate the environment that has them."
            )
        raise
    return run_command(program, partial(run_quietly, module.run), args)


def parse(module: ModuleType, words: Sequence[str], program: str) -> Namespace:
    """The arguments of a command.

    Raises:
        SystemExit: with status 2 if they do not work, with 0 after ``--help``.
    """
    if hasattr(module, "parse"):
        return module.parse(words, program)
    parser = Parser(prog=program, description=module.__doc__)
    module.add_arguments(parser)
    args = parser.parse(words)
    if hasattr(module, "check"):
        module.check(parser, args)
    return args


def help_text() -> str:
    """What ``cascade-rpn --help`` prints: the commands in groups, each with an example."""
    lines = [
        f"usage: {PROGRAM} COMMAND [options] [key=value ...]",
        "",
        "High-quality region proposals and point-guided boxes for Detectron2.",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:"]
        for name, command in group.items():
            lines += [f"  {name:<19} {command.summary}"]
            lines += [f"  {'':<19}   {PROGRAM} {name} {command.example}".rstrip()]
    lines += ["", f"{PROGRAM} COMMAND --help has the options of each."]
    return "\n".join(lines)
