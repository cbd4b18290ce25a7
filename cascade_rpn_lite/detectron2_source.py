"""Where Detectron2 comes from, which is on no package index under its own name.

What the user names decides. Otherwise it is the commit on GitHub that this project is tested with,
where GitHub can be reached and a C++ compiler works, which its build needs; else the package
index's copy (:mod:`cascade_rpn_lite.detectron2_index_copy`), which needs no building.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import detectron2_index_copy as index_copy

COMMIT = (
    "git+https://github.com/facebookresearch/detectron2@02b5c4e295e990042a714712c21dc79b731e8833"
)
INDEX = "index"  # DETECTRON2=index: the copy on the package index
GITHUB_PATIENCE = 10.0  # seconds; a firewall that swallows packets never answers
MIRROR_PATIENCE = 60.0  # an address that was asked for may take longer
ADVICE = (
    "set DETECTRON2= to a local clone, a wheel or a mirror of it, such as "
    "make install DETECTRON2=/path/to/detectron2, or to index for the copy on the package index"
)
# What every extension needs: the headers of C++ and of Python, which some systems pack apart.
_PROGRAM = "#include <Python.h>\n#include <vector>\nstd::vector<int> numbers;\n"


@dataclass(frozen=True)
class Choice:
    """Where to take Detectron2 from.

    Args:
        source: an address that pip understands, an absolute path, or INDEX.
        reason: why this one, in one clause.
    """

    source: str
    reason: str

    def __str__(self) -> str:
        where = f"the package index ({index_copy.TITLE})" if self.source == INDEX else self.source
        return f"install: detectron2 from {where}: {self.reason}"


def choose(wish: str | None = None) -> Choice:
    """Choose where to take Detectron2 from.

    Args:
        wish: what the user asks for, if anything: an address, a path, or INDEX.

    Raises:
        SystemExit: if there is nothing at what the user asks for.
    """
    if wish:
        return Choice(_checked(wish), "as asked for")
    obstacle = why_out_of_reach(address_of(COMMIT), GITHUB_PATIENCE) or why_no_compiler()
    if obstacle:
        return Choice(INDEX, obstacle)
    return Choice(COMMIT, "GitHub can be reached, and a C++ compiler works")


def address_of(source: str) -> str:
    """The repository of ``git+<repository>@<commit>#<fragment>``."""
    return re.sub(r"@[^@/]*$", "", source.removeprefix("git+").partition("#")[0])


def why_out_of_reach(address: str, patience: float) -> str | None:
    """Why the repository at ``address`` is not to be had within some seconds; None if it is."""
    if shutil.which("git") is None:
        return "git is not installed"
    process = subprocess.Popen(
        ["git", "ls-remote", "--quiet", address, "HEAD"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        start_new_session=True,  # so that its children end with it
    )
    try:
        status = process.wait(patience)
    except subprocess.TimeoutExpired:
        return f"{address} did not answer within {patience:g} seconds"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f"{address} cannot be reached" if status else None


def why_no_compiler() -> str | None:
    """Why no C++ extension of Python can be compiled here; None if it can."""
    compiler = shlex.split(os.environ.get("CXX", "")) or ["c++"]  # as torch finds it
    if shutil.which(compiler[0]) is None:
        return f"there is no C++ compiler {compiler[0]}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "program.cpp")
        source.write_text(_PROGRAM)
        outcome = subprocess.run(
            [
                *compiler,
                *("-shared", "-fPIC", f"-I{sysconfig.get_path('include')}", str(source)),
                *("-o", str(Path(folder, "program.so"))),
            ],
            capture_output=True,
        )
    if outcome.returncode:
        return f"the C++ compiler {compiler[0]} fails, or finds no headers of Python"
    return None


def _checked(wish: str) -> str:
    """What the user asks for, a path made absolute, or pip would take a bare name for a package."""
    if wish.startswith("git+"):
        address = address_of(wish)
        obstacle = why_out_of_reach(address, MIRROR_PATIENCE)
        if obstacle:
            raise SystemExit(f"install: detectron2 cannot be had, as {obstacle}: {ADVICE}.")
    elif wish != INDEX and "://" not in wish:
        if not Path(wish).exists():
            raise SystemExit(f"install: there is no detectron2 at {wish}: {ADVICE}.")
        return str(Path(wish).resolve())
    return wish
