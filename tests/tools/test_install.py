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
    shutil.copy(repository / "setup.py", tmp_path)

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
        ("git+https://mirror.invalid/detectron2@02b5c4e2", "https://mirror.invalid/detectron2:"),
        ("git+ssh://git@mirror.invalid/d2.git@main#egg=d2", "ssh://git@mirror.invalid/d2.git:"),
    ],
)
def test_detectron2_out_of_reach(install, source, address):
    message = install(DETECTRON2=source, GIT_SSH_COMMAND="false")
    assert f"cannot be reached at {address} set DETECTRON2=" in message


def test_an_interpreter_without_torch(install, tmp_path):
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    assert "has no torch or no detectron2" in install(str(bare))


def test_the_address_of_detectron2_stands_in_setup_py(repository):
    found = subprocess.run(
        ["grep", "-o", 'git+https://[^"]*', "setup.py"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    commit = "02b5c4e295e990042a714712c21dc79b731e8833"
    assert found.stdout.split() == [f"git+https://github.com/facebookresearch/detectron2@{commit}"]
