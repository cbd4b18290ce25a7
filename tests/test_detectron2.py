"""Importing the package where Detectron2 is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def error_of_import(program: str, repository: Path, *path: Path) -> str:
    """The last line that importing the package writes after ``program``."""
    outcome = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nimport cascade_rpn_d2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, repository)))},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 1
    return outcome.stderr.splitlines()[-1]


def test_a_missing_detectron2_is_explained(repository):
    # Importing it now fails.
    assert error_of_import("sys.modules['detectron2'] = None", repository) == (
        "ModuleNotFoundError: cascade_rpn_d2 needs Detectron2, which is not installed: run "
        "`cascade-rpn install-detectron2`, which takes it from GitHub, or from the package index "
        "where GitHub is out of reach."
    )


def test_a_damaged_detectron2_says_itself_what_is_wrong(repository, tmp_path):
    (tmp_path / "detectron2").mkdir()
    module = tmp_path / "detectron2/__init__.py"
    module.write_text("import nowhere_to_be_found")
    error = error_of_import("", repository, tmp_path)
    assert error == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    module.write_text("raise ImportError('undefined symbol')")
    assert error_of_import("", repository, tmp_path) == "ImportError: undefined symbol"
