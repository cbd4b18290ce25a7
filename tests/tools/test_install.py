"""What `make install` says at once when it cannot go on; nothing is downloaded here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def install(repository: Path, tmp_path: Path):
    """Runs tools/install.sh in a copy of what it reads, without a .venv."""
    (tmp_path / "tools").mkdir()
    shutil.copy(repository / "tools/install.sh", tmp_path / "tools")
    shutil.copytree(repository / "cascade_rpn_lite", tmp_path / "cascade_rpn_lite")

    def run(python: str = "", **environment: str) -> str:
        outcome = subprocess.run(
            ["bash", "tools/install.sh", python],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert outcome.returncode != 0 and not outcome.stdout
        assert not (tmp_path / ".venv").exists()
        (line,) = outcome.stderr.splitlines()
        return line

    return run


def test_detectron2_that_is_not_there(install):
    assert "no detectron2 at /nowhere/detectron2: set DETECTRON2=" in install(
        DETECTRON2="/nowhere/detectron2"
    )


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("git+https://mirror.invalid/detectron2@02b5c4e2", "https://mirror.invalid/detectron2"),
        ("git+ssh://git@mirror.invalid/d2.git@main#egg=d2", "ssh://git@mirror.invalid/d2.git"),
    ],
)
def test_detectron2_out_of_reach(install, source, address):
    message = install(DETECTRON2=source, GIT_SSH_COMMAND="false")
    assert f"{address} cannot be reached: set DETECTRON2=" in message


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 1", "has no torch: install it there"),
        ('case "$*" in *assert*) exit 1;; esac', "has a torch older than 2.9"),
        (
            'case "$*" in *detectron2*) exit 1;; esac',
            "has no detectron2: run {python} -m cascade_rpn_lite install-detectron2, or leave",
        ),
    ],
)
def test_an_interpreter_that_lacks_something(install, tmp_path, script, sentence):
    bare = tmp_path / "python"
    bare.write_text(f"#!/bin/sh\n{script}\n")
    bare.chmod(0o755)
    assert sentence.format(python=bare) in install(str(bare))


def test_an_installation_is_repeated_where_kernels_are_demanded_and_missing(repository, tmp_path):
    for name in ("Makefile", "requirements.txt", "pyproject.toml", "setup.py", "tools/install.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    (tmp_path / "cascade_rpn_d2/layers/csrc").mkdir(parents=True)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/installed").touch()

    def is_done(*words: str) -> bool:
        # Of the make that runs these tests.
        inherited = {"CASCADE_RPN_COMPILE", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"}
        environment = {k: v for k, v in os.environ.items() if k not in inherited}
        command = ["make", "--question", "install", "PYTHON=", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment).returncode == 0

    assert is_done()
    assert not is_done("CASCADE_RPN_COMPILE=1")
    (tmp_path / "cascade_rpn_d2/_C.abi3.so").touch()
    assert is_done("CASCADE_RPN_COMPILE=1")
