"""What is kept quiet, and what is not."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from argparse import Namespace

import pytest

from cascade_rpn_lite.quiet import quieten, run_quietly

SAID = "`torch.jit.script` is deprecated. Please switch to `torch.compile` or `torch.export`."
LOADER = "This DataLoader will create 4 worker processes in total. Our suggested max number is 1"
MESHGRID = "torch.meshgrid: in an upcoming release, it will be required to pass indexing"
WARN = """
import warnings
warnings.warn({!r}, FutureWarning)
warnings.warn({!r}, UserWarning)
warnings.warn("a library of yours is too old", UserWarning)
"""


def test_only_what_a_user_cannot_mend_is_left_out(caplog):
    with warnings.catch_warnings(record=True) as heard:
        warnings.resetwarnings()
        quieten()
        warnings.warn(SAID, FutureWarning, stacklevel=1)
        warnings.warn(MESHGRID, UserWarning, stacklevel=1)
        warnings.warn(LOADER, UserWarning, stacklevel=1)
        warnings.warn(f"Not that {SAID}", FutureWarning, stacklevel=1)
    assert [str(w.message) for w in heard] == [f"Not that {SAID}"]
    logger = logging.getLogger("torch.fx._symbolic_trace")
    logger.warning("is_fx_tracing will return true for both")
    logger.warning("something else")
    assert [r.getMessage() for r in caplog.records if r.name == logger.name] == ["something else"]


def test_processes_that_are_started_keep_quiet_too():
    quieten()
    quieten()
    assert os.environ["PYTHONWARNINGS"].count("meshgrid") == 1
    program = WARN.format(SAID, MESHGRID)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "too old" in done.stderr
    assert "deprecated" not in done.stderr and "meshgrid" not in done.stderr


def test_filters_of_the_user_come_first(monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "error::FutureWarning")
    quieten()
    program = WARN.format(SAID, MESHGRID)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "FutureWarning" in done.stderr


@pytest.mark.parametrize("outcome", [None, 1])
def test_a_command_is_run_with_its_arguments(outcome):
    seen = []
    assert run_quietly(lambda args: seen.append(args) or outcome, Namespace(a=1)) == outcome
    assert seen == [Namespace(a=1)]
