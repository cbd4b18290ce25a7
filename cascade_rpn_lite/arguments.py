"""The options of the commands: every option that more than one of them has is named here alone."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

# What stands for a dataset on every command line.
DATA = "a registered dataset, or images_dir:annotations.json in COCO format"


def positive(text: str) -> int:
    """An integer of at least 1, from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def count(text: str) -> int:
    """An integer of at least 0, from the command line."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {value}")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1, from the command line."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, not {text}")
    return value


def number(text: str) -> int | float:
    """A finite number, from the command line."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number, not {text}")
    return int(value) if value.is_integer() else value


def print_help(text: str) -> None:
    """Print it, whether or not the reader, such as ``head``, takes all of it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit


OPTIONS: dict[str, dict[str, Any]] = {
    # The model.
    "--config-file": {"metavar": "CONFIG", "help": "name in the zoo, or path of a LazyConfig"},
    "--trust-config": {
        "action": "store_true",
        "help": "let a config in YAML name other classes and functions than the zoo's configs do, "
        "whose code then runs; one in Python is a program in any case",
    },
    "--weights": {
        "metavar": "FILE",
        "help": "checkpoint file or URL; default: the zoo's for that config",
    },
    # What it reads.
    "--train-data": {"metavar": "DATA", "help": f"what to train on: {DATA}"},
    "--test-data": {"metavar": "DATA", "help": f"what to evaluate on: {DATA}"},
    "--data": {"metavar": "DATA", "help": DATA},
    "--allow-outside-images": {
        "action": "store_true",
        "help": "open what file_name of an annotation file leads to outside its images_dir",
    },
    "--train-proposals": {
        "metavar": "FILE",
        "help": "file of `cascade-rpn dump-proposals` to train Fast R-CNN on",
    },
    "--test-proposals": {
        "metavar": "FILE",
        "help": "file of `cascade-rpn dump-proposals` to evaluate Fast R-CNN on",
    },
    "--input": {"nargs": "+", "metavar": "PATH", "help": "images, folders or patterns"},
    "--num-images": {"type": positive, "metavar": "N", "help": "how many images to show"},
    "--image-id": {"metavar": "ID", "help": "id of the dataset's image to show"},
    "--image-ids": {"nargs": "+", "metavar": "ID", "help": "ids of the dataset's images to show"},
    "--max-images": {
        "type": positive,
        "metavar": "N",
        "help": "use the first so many images only",
    },
    "--depth-range": {
        "nargs": 2,
        "type": number,
        "metavar": ("LOW", "HIGH"),
        "help": "values that become black and white in images of more than 8 bits a channel, such "
        "as 0 4095; default: as the config says, or such images are refused",
    },
    "--max-pixels": {
        "type": positive,
        "metavar": "N",
        "help": "refuse images of more pixels (default: as the config says, or 120,000,000)",
    },
    "--no-check": {
        "action": "store_true",
        "help": "do not read the headers of all images of a folder first, as on a slow network "
        "disk",
    },
    # What it writes.
    "--output": {"metavar": "FILE", "help": "file to write"},
    "--format": {"help": "form of the file (default: %(default)s)"},
    "--output-dir": {
        "metavar": "FOLDER",
        "help": "folder of checkpoints, metrics and results (default: train.output_dir)",
    },
    "--width": {
        "type": positive,
        "default": 1120,
        "metavar": "PIXELS",
        "help": "width of the figure (default: %(default)s)",
    },
    # Which boxes.
    "--top-k": {
        "type": positive,
        "metavar": "N",
        "help": "maximum number of boxes per image, the best",
    },
    "--max-detections": {
        "type": positive,
        "metavar": "N",
        "help": "detections of an image that a detector keeps, also with --tta, and that its "
        "evaluation counts (default: the config's, which is COCO's 100 as a rule)",
    },
    "--score-threshold": {
        "type": fraction,
        "metavar": "SCORE",
        "help": "minimum score of a box, between 0 and 1",
    },
    "--min-iou": {
        "type": fraction,
        "default": 0.5,
        "metavar": "IOU",
        "help": "a detection that overlaps less with every object is not counted "
        "(default: %(default)s)",
    },
    # Where it runs.
    "--device": {"help": "such as cpu or cuda:1; default: a GPU if there is one"},
    "--batch-size": {
        "type": positive,
        "default": 4,
        "metavar": "N",
        "help": "images at once (default: %(default)s)",
    },
    "--num-gpus": {
        "type": count,
        "metavar": "N",
        "help": "GPUs of this machine, 0 for the CPU; default: 1 if there is one",
    },
    "--num-machines": {
        "type": positive,
        "default": 1,
        "metavar": "N",
        "help": "default: %(default)s",
    },
    "--machine-rank": {
        "type": count,
        "default": 0,
        "metavar": "RANK",
        "help": "which of the machines this is, from 0",
    },
    "--dist-url": {
        "default": "auto",
        "metavar": "URL",
        "help": "where several machines meet, tcp://<first>:<port>",
    },
    "--resume": {
        "action": "store_true",
        "help": "go on from the last checkpoint of the output folder, if there is one",
    },
    "--tta": {
        "action": "store_true",
        "help": "merge the detections at several image sizes, each also mirrored (tta.*)",
    },
}
READING = ("--depth-range", "--max-pixels")
LAUNCH = ("--num-gpus", "--num-machines", "--machine-rank", "--dist-url")

_OVERRIDE = re.compile(r"[+~]?[A-Za-z_][\w.\[\]]*=")


def add_options(parser: Any, *names: str, **changes: Any) -> None:
    """Add options of the table.

    Args:
        parser: an ``ArgumentParser``, or a group of one.
        names: of the options.
        changes: what differs here, such as ``required=True`` or a help text that says more; they
            hold for all the names.
    """
    for name in names:
        parser.add_argument(name, **(OPTIONS[name] | changes))


def run_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What the commands that train give to ``cascade_rpn_d2.engine.setup_config`` alike: the data
    of a run, which of them are looked at, its folder and its device."""
    used = ("test",) if getattr(args, "eval_only", False) else ("train", "test")
    return {
        "train_data": args.train_data,
        "test_data": args.test_data,
        "train_proposals": args.train_proposals,
        "test_proposals": args.test_proposals,
        "check_images": () if args.no_check else used,
        "output_dir": args.output_dir,
        "max_detections": args.max_detections,
        "device": "cpu" if args.num_gpus == 0 else None,
    }


def add_overrides(parser: argparse.ArgumentParser, of: str = "the config") -> None:
    """Add ``key=value`` changes to a config, which may stand anywhere among the options."""
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],  # or argparse calls them required when another argument is missing
        metavar="key=value",
        help=f"changes to {of}; `+key=value` adds a new key",
    )


def take_outside_images(args: argparse.Namespace) -> None:
    """Take the option ``--allow-outside-images`` out of the arguments, and do what it says."""
    if args.allow_outside_images:
        from cascade_rpn_d2.data import allow_outside_images

        allow_outside_images()
    del args.allow_outside_images


def take_reading(args: argparse.Namespace, *parts: str) -> list[str]:
    """Take the options ``READING`` out of the arguments.

    Args:
        args: their attributes ``depth_range`` and ``max_pixels`` are gone afterwards.
        parts: which data are read with them, ``"train"`` and ``"test"``.

    Returns:
        What they change, as overrides of a config.
    """
    given = {"depth_range": args.depth_range, "max_pixels": args.max_pixels}
    del args.depth_range, args.max_pixels
    return [
        f"+dataloader.{part}.mapper.{key}={value}"
        for part in parts
        for key, value in given.items()
        if value is not None
    ]


class Parser(argparse.ArgumentParser):
    """Understands options and overrides in any order, overrides after ``--input a b`` included."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **arguments)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments; ends the program with status 2 and one sentence if they do not work."""
        self._refuse_misspelt(words)
        if not any(action.dest == "overrides" for action in self._actions):
            return self.parse_intermixed_args(words)
        overrides, rest = self._split_overrides(words)
        args = self.parse_intermixed_args(rest)
        if args.overrides:  # what is left of the positional arguments
            word = args.overrides[0]
            wanted = "begin its key with a letter" if "=" in word else "give key=value"
            self.error(f"'{word}' is no override: {wanted}")
        args.overrides = overrides
        return args

    def _refuse_misspelt(self, words: Sequence[str]) -> None:
        """Suggest an option for one that is misspelt, before others are missed for its sake."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        for word in words:
            name = word.partition("=")[0]
            if not name.startswith("--") or name == "--" or " " in name:
                continue
            if not any(option.startswith(name) for option in known):  # they may be abbreviated
                near = difflib.get_close_matches(name, known, n=1)
                if near:
                    self.error(f"unrecognized arguments: {name}: did you mean {near[0]}?")

    def _split_overrides(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """The overrides, and the other words.

        Options keep the values that they need, and one that takes any number its first. What is a
        file is no override.
        """
        overrides: list[str] = []
        rest: list[str] = []
        needed = 0  # values of the option that is being read
        for word in words:
            if needed:
                needed -= 1
            elif word.startswith("-") and not _is_number(word):
                needed = self._values_of(word)
            elif _OVERRIDE.match(word) and not os.path.exists(word):
                overrides.append(word)
                continue
            rest.append(word)
        return overrides, rest

    def _values_of(self, word: str) -> int:
        """How many values an option needs to follow it."""
        name, has_value, _ = word.partition("=")
        known = self._option_string_actions
        # Options may be abbreviated.
        names = [name] if name in known else [option for option in known if option.startswith(name)]
        if not names or has_value:
            return 0
        nargs = known[names[0]].nargs
        return nargs if isinstance(nargs, int) else 1


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
