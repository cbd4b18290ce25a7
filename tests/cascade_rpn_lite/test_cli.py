"""The command as a whole: what it lists, what it imports, how it ends."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cascade_rpn_d2.engine import command as engine_command
from cascade_rpn_lite import cli, visualize
from cascade_rpn_lite.cli import COMMANDS, main, parse

# Prints what of the slow packages is imported when the program ends.
SLOW_IMPORTS = """
import sys
from cascade_rpn_lite.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    status = ended.code
else:
    status = 0
slow = {"torch", "torchvision", "detectron2", "cascade_rpn_d2", "cv2", "numpy"}
print("slow:", sorted(slow & set(sys.modules)), "status:", status)
"""
HELPS = [["--help"], *([name, "--help"] for name in COMMANDS)]
HELPS += [["visualize", name, "--help"] for name in visualize.FIGURES]


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help_imports_nothing_slow(repository: Path, words: list[str]):
    done = subprocess.run(
        [sys.executable, "-c", SLOW_IMPORTS, *words],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "slow: [] status: 0", done.stderr
    assert "usage: cascade-rpn" in done.stdout


def test_help_shows_every_command_with_an_example_that_parses(capsys):
    assert main(["--help"]) == 0 == main([])
    printed = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in printed and command.summary in printed
        assert f"cascade-rpn {name} {command.example}".rstrip() in printed
        parse(command.load(), shlex.split(command.example), name)


def test_help_of_a_command_is_asked_for_in_two_ways(capsys):
    for words in (["help", "predict"], ["predict", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith("usage: cascade-rpn predict ")


def test_an_interruption_is_no_traceback(monkeypatch, capsys):
    def interrupt(program, run, args):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_command, "run_command", interrupt)
    assert main(["predict", "--config-file", "c", "--input", "i", "--output", "o"]) == 130
    assert capsys.readouterr().err.strip() == "cascade-rpn predict: stopped by Ctrl-C."


@pytest.mark.parametrize("words", ["--help", "visualize --help"])
def test_help_may_be_cut_off(repository: Path, words: str):
    command = f"'{sys.executable}' -m cascade_rpn_lite {words} | head -n 1"
    for _ in range(5):  # it depends on who is faster
        done = subprocess.run(
            ["bash", "-c", command], cwd=repository, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.startswith("usage: ") and not done.stderr


def test_the_version_is_the_packages(capsys):
    import cascade_rpn_d2

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cascade-rpn {cascade_rpn_d2.__version__}\n"


def test_a_misspelt_command_is_recognised(capsys):
    assert main(["predicts"]) == 2
    assert "did you mean 'predict'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "visualize"])
def test_an_option_that_is_none_is_refused(refused, name):
    assert "--no-such-option" in refused(
        name, *shlex.split(COMMANDS[name].example), "--no-such-option"
    )


@pytest.mark.parametrize(
    ("absent", "advice"),
    [("detectron2", "`cascade-rpn install-detectron2`"), ("torch", "`pip install torch")],
)
def test_what_is_not_installed_is_said_with_how_to_get_it(repository, absent, advice):
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {absent!r}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib.util\n"
        "find_spec = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda n, *a: None if n == {absent!r} else find_spec(n, *a)\n"
        "from cascade_rpn_lite.cli import main\n"
        "main(['predict', '--config-file', 'c', '--input', 'i', '--output', 'o'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("cascade-rpn predict: ")
    assert advice in done.stderr


def test_the_exit_status_is_what_the_command_returns(monkeypatch):
    monkeypatch.setattr(engine_command, "run_command", lambda program, run, args: 1)
    assert main(["predict", "--config-file", "c", "--input", "i", "--output", "o"]) == 1


TOOLS = {
    "benchmark": "benchmark",
    "convert_checkpoint": "convert",
    "demo": "demo",
    "dump_proposals": "dump-proposals",
    "finetune_with_proposals": "finetune",
    "predict": "predict",
    "reproduce": "reproduce",
    "train_alternating": "train-alternating",
    "train_net": "train",
    "visualize": "visualize",
}


def test_every_tool_is_a_command_under_another_name(repository: Path):
    tools = {path.stem: path.read_text() for path in (repository / "tools").glob("*.py")}
    assert set(tools) == set(TOOLS)
    for name, text in tools.items():
        assert f'run_tool("{TOOLS[name]}")' in text and len(text.splitlines()) < 12


def test_a_tool_calls_itself_by_its_own_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tools/train_net.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.run_tool("train")
    assert ended.value.code == 0
    assert "usage: train_net.py [" in capsys.readouterr().out
