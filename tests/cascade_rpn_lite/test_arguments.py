"""The table of options, and how they and overrides are told apart."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog

from cascade_rpn_d2.data import allow_outside_images, find_dataset
from cascade_rpn_lite import visualize
from cascade_rpn_lite.arguments import (
    OPTIONS,
    Parser,
    add_options,
    add_overrides,
    count,
    fraction,
    number,
    positive,
    take_outside_images,
    take_reading,
)
from cascade_rpn_lite.cli import COMMANDS
from tests.engine.tiny_data import write_dataset


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, and of every figure."""
    found: dict[str, argparse.ArgumentParser] = {}
    for name, command in COMMANDS.items():
        if name != "visualize":
            found[name] = Parser(prog=name)
            command.load().add_arguments(found[name])
    for name in visualize.FIGURES:
        found[f"visualize {name}"] = visualize.figure_parser(name, "visualize")
    return found


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    return [s for action in parser._actions for s in action.option_strings if s not in ("-h",)]


def test_what_two_commands_have_is_named_in_the_table_alone():
    users = defaultdict(set)
    for name, parser in parsers().items():
        for option in options_of(parser):
            users[option].add(name.split()[0])
    shared = {option for option, names in users.items() if len(names) > 1} - {"--help"}
    assert shared <= set(OPTIONS)
    assert set(OPTIONS) <= set(users)


@pytest.mark.parametrize("old", ["--topk", "--top", "--limit", "--dataset", "--set", "--min-score"])
def test_one_thing_has_one_name(old):
    assert all(old not in options_of(parser) for parser in parsers().values())


def test_an_option_of_the_table_means_the_same_everywhere():
    for name, parser in parsers().items():
        for action in parser._actions:
            for option in set(action.option_strings) & set(OPTIONS):
                known = OPTIONS[option]
                assert action.type == known.get("type"), (name, option)
                if "action" in known:
                    assert action.nargs == 0, (name, option)


def test_every_config_takes_overrides():
    for name, parser in parsers().items():
        if "--config-file" in options_of(parser):
            assert "overrides" in {action.dest for action in parser._actions}, name


@pytest.fixture
def parser() -> Parser:
    parser = Parser(prog="it")
    parser.add_argument("table")
    parser.add_argument("--rows", nargs="+", default=[])
    parser.add_argument("--numbers", nargs="+", type=int)
    add_options(parser, "--input", "--weights", "--resume")
    add_overrides(parser)
    return parser


@pytest.mark.parametrize(
    "words",
    [
        "t a.b=1 --weights w --input i j --resume c=2",
        "a.b=1 t --input i j --weights w c=2 --resume",
        "--resume --input i j a.b=1 c=2 --weights w t",
        "c=2 --weights w --input i j a.b=1 --resume t",
    ],
)
def test_options_and_overrides_stand_in_any_order(parser, words):
    args = parser.parse(words.split())
    assert (args.table, args.weights, args.input, args.resume) == ("t", "w", ["i", "j"], True)
    assert sorted(args.overrides) == ["a.b=1", "c=2"]


def test_an_override_is_none_of_several_numbers(parser):
    args = parser.parse("t --numbers 1 2 train.max_iter=3 --rows -1 x=[1,2] +new.key=4".split())
    assert args.numbers == [1, 2] and args.rows == ["-1"]
    assert args.overrides == ["train.max_iter=3", "x=[1,2]", "+new.key=4"]


def test_values_that_look_like_overrides_are_left_to_their_option(parser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b=2.jpg").touch()
    (tmp_path / "e=5").touch()
    args = parser.parse(["e=5", "--weights", "a=1.pth", "--input", "c=3", "b=2.jpg", "d=4"])
    assert (args.weights, args.input, args.overrides) == ("a=1.pth", ["c=3", "b=2.jpg"], ["d=4"])
    assert args.table == "e=5"


def test_a_name_with_spaces_is_no_override(parser):
    assert parser.parse(["t", "--rows", "1", "gamma = 0.3"]).rows == ["1", "gamma = 0.3"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [(positive, "1", ("0", "-1")), (count, "0", ("-1",)), (fraction, "1", ("2", "-0.1", "nan"))],
)
def test_numbers_have_bounds(kind, good, bad):
    assert kind(good) == float(good)
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=re.escape(f"not {text}")):
            kind(text)


def test_a_word_that_is_nothing_is_refused_before_torch_is_imported(refused):
    given = ["--config-file", "demo/rpn.py", "--num-gpus", "0"]
    assert "'train.max_iter' is no override: give key=value" in refused(
        "train", *given, "train.max_iter"
    )
    assert "'2_fast_rcnn.x=1' is no override: begin its key with a letter" in refused(
        "train-alternating", *given, "2_fast_rcnn.x=1"
    )


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("train --train-dta a:b", "--train-dta: did you mean --train-data?"),
        ("predict --inptu=a --output o --config-file c", "--inptu: did you mean --input?"),
        ("visualize stages --with 5 --output o", "--with: did you mean --width?"),
        ("convert a b --config-file c --nonsense", "--nonsense"),
    ],
)
def test_the_option_that_was_meant_is_named(refused, words, meant):
    assert refused(*words.split()).strip().endswith(f"unrecognized arguments: {meant}")


def test_options_may_be_abbreviated_and_values_may_look_like_them(parser):
    args = parser.parse(["t", "--inp", "i", "--res", "--weights=--inptu"])
    assert (args.input, args.resume, args.weights) == (["i"], True, "--inptu")


def test_what_is_missing_is_said_and_overrides_are_not(refused):
    error = refused("convert", "a.pth", "--config-file", "demo/rpn.py")
    assert error.strip().endswith("the following arguments are required: dst")


def test_every_command_that_takes_data_can_be_asked_for_images_outside_its_folder():
    data = {"--train-data", "--test-data", "--data"}
    for name, parser in parsers().items():
        options = set(options_of(parser))
        takes = bool(options & data) or name == "predict"  # as its --input
        assert ("--allow-outside-images" in options) == takes, name


def test_images_outside_the_folder_are_opened_when_asked(tmp_path):
    images, _, labels = write_dataset(tmp_path / "data").partition(":")
    (tmp_path / "data/empty").mkdir()
    data = f"{tmp_path / 'data/empty'}:{labels}"
    content = Path(labels).read_text().replace('"file_name": "', f'"file_name": "{images}/')
    Path(labels).write_text(content)
    parser = Parser()
    add_options(parser, "--allow-outside-images")
    take_outside_images(parser.parse([]))
    with pytest.raises(ValueError, match="leads out of the image folder.*--allow-outside-images"):
        find_dataset(data)
    try:
        take_outside_images(parser.parse(["--allow-outside-images"]))
        assert len(DatasetCatalog.get(find_dataset(data))) == 5
    finally:
        allow_outside_images(False)


def test_options_of_reading_become_overrides_and_leave_the_arguments():
    parser = Parser(prog="a")
    add_options(parser, "--depth-range", "--max-pixels", "--input")
    add_overrides(parser)
    given = ["--depth-range", "-5", "0.5", "--max-pixels", "9", "a.b=1", "--input", "x.png"]
    args = parser.parse(given)
    assert take_reading(args, "train", "test") == [
        "+dataloader.train.mapper.depth_range=[-5, 0.5]",
        "+dataloader.train.mapper.max_pixels=9",
        "+dataloader.test.mapper.depth_range=[-5, 0.5]",
        "+dataloader.test.mapper.max_pixels=9",
    ]
    assert vars(args) == {"input": ["x.png"], "overrides": ["a.b=1"]}
    assert take_reading(parser.parse([]), "test") == []


@pytest.mark.parametrize("text", ["nan", "inf", "low"])
def test_a_number_is_finite(text):
    with pytest.raises((ValueError, argparse.ArgumentTypeError)):
        number(text)


def test_every_command_that_reads_images_has_the_options_for_them():
    reading = {
        "train",
        "eval",
        "finetune",
        "predict",
        "dump-proposals",
        "reproduce",
        "train-alternating",
    }
    checking = reading - {"predict"}
    for name, parser in parsers().items():
        options = options_of(parser)
        reads = name in reading or name.startswith("visualize")
        assert ("--depth-range" in options) == ("--max-pixels" in options) == reads, name
        assert ("--no-check" in options) == (name in checking), name
