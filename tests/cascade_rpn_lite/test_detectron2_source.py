from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cascade_rpn_lite import detectron2_source
from cascade_rpn_lite.detectron2_source import COMMIT, INDEX, Choice, address_of, choose


@pytest.fixture
def command(tmp_path: Path, monkeypatch):
    """Puts a shell script under a command's name first in PATH."""

    def put(name: str, script: str) -> None:
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CXX", raising=False)
    return put


@pytest.fixture
def reachable(command, monkeypatch):
    """GitHub can be reached, and a compiler works."""
    command("git", "exit 0")
    monkeypatch.setattr(detectron2_source, "why_no_compiler", lambda: None)


def is_running(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_commit_on_github_comes_first(reachable):
    choice = choose()
    assert choice.source == COMMIT
    assert str(choice) == (
        "install: detectron2 from git+https://github.com/facebookresearch/detectron2"
        "@02b5c4e295e990042a714712c21dc79b731e8833: "
        "GitHub can be reached, and a C++ compiler works"
    )


def test_git_is_asked_for_the_repository_and_never_for_a_password(command, tmp_path, reachable):
    command("git", f'echo "$GIT_TERMINAL_PROMPT $@" > {tmp_path}/asked')
    choose()
    address = "https://github.com/facebookresearch/detectron2"
    assert (tmp_path / "asked").read_text() == f"0 ls-remote --quiet {address} HEAD\n"


def test_github_out_of_reach_means_the_copy_on_the_index(command, reachable):
    command("git", "exit 128")
    choice = choose()
    assert choice.source == INDEX
    assert str(choice) == (
        "install: detectron2 from the package index (sal-detectron2 0.7.2 without its compiled "
        "part): https://github.com/facebookresearch/detectron2 cannot be reached"
    )


def test_no_git_means_the_copy_on_the_index(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose() == Choice(INDEX, "git is not installed")


def test_a_git_that_hangs_is_given_up_and_its_children_end(command, tmp_path, monkeypatch):
    command("git", f"sleep 60 & echo $! > {tmp_path}/child; wait")
    monkeypatch.setattr(detectron2_source, "GITHUB_PATIENCE", 0.5)
    start = time.monotonic()
    choice = choose()
    assert time.monotonic() - start < 5
    assert choice.source == INDEX
    assert choice.reason.endswith("facebookresearch/detectron2 did not answer within 0.5 seconds")
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)


@pytest.mark.slow
def test_github_is_given_up_after_ten_seconds(command):
    command("git", "sleep 60")
    start = time.monotonic()
    assert choose().reason.endswith("did not answer within 10 seconds")
    assert 9 < time.monotonic() - start < 12


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 1", "the C++ compiler c++ fails, or finds no headers of Python"),
        (None, "there is no C++ compiler nowhere-c++"),
    ],
)
def test_without_a_compiler_the_copy_on_the_index(command, monkeypatch, script, reason):
    command("git", "exit 0")
    if script is None:
        monkeypatch.setenv("CXX", "nowhere-c++ -m64")
    else:
        command("c++", script)
    assert choose() == Choice(INDEX, reason)


def test_the_compiler_is_given_pythons_headers(command, tmp_path):
    command("c++", f'echo "$@" > {tmp_path}/arguments')
    assert detectron2_source.why_no_compiler() is None
    (headers,) = [a for a in (tmp_path / "arguments").read_text().split() if a.startswith("-I")]
    assert Path(headers[2:]).name.startswith("python3")


def test_what_is_asked_for_decides(command, tmp_path, monkeypatch):
    command("git", "exit 128")
    monkeypatch.chdir(tmp_path)
    wheel = tmp_path / "detectron2-0.6-py3-none-any.whl"
    wheel.touch()
    assert choose(wheel.name) == Choice(str(wheel), "as asked for")
    for source in (INDEX, "https://mirror.invalid/detectron2.tar.gz", "file:///mirror/detectron2"):
        assert choose(source) == Choice(source, "as asked for")
    command("git", "exit 0")
    assert (
        choose("git+https://mirror.invalid/d2@main").source == "git+https://mirror.invalid/d2@main"
    )


def test_what_is_asked_for_and_not_there_is_an_error(command, reachable):
    with pytest.raises(SystemExit, match="^install: there is no detectron2 at /nowhere: set DETEC"):
        choose("/nowhere")
    command("git", "exit 128")
    with pytest.raises(SystemExit, match="as https://mirror.invalid/d2 cannot be reached: set DET"):
        choose("git+https://mirror.invalid/d2@02b5c4e2")


@pytest.mark.parametrize(
    ("source", "address"),
    [
        (COMMIT, "https://github.com/facebookresearch/detectron2"),
        ("git+https://user@mirror.invalid/d2", "https://user@mirror.invalid/d2"),
        ("git+ssh://git@mirror.invalid/d2.git@main#egg=d2", "ssh://git@mirror.invalid/d2.git"),
    ],
)
def test_address_of_a_repository(source, address):
    assert address_of(source) == address


def test_a_choice_needs_nothing_but_python(tmp_path, repository):
    program = "import cascade_rpn_lite.install_detectron2, sys; assert 'torch' not in sys.modules"
    subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository)},
        check=True,
    )
