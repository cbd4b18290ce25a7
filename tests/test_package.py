"""The package as a whole: what importing it does, and which rooms know of which."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A room -> the rooms that its modules may import besides their own; `files` and `layers` know none.
ALLOWED = {
    "files": set(),
    "layers": set(),
    "modeling": {"layers"},
    "evaluation": {"files"},
    "visualization": {"layers"},
    "data": {"files"},
    "checkpoint": {"files", "modeling"},
    "config": {"files", "modeling", "data"},
    "model_zoo": {"files", "data", "checkpoint", "config"},
    "engine": {
        "files", "layers", "modeling", "config", "data", "evaluation", "visualization",
        "checkpoint", "model_zoo",
    },
    "analysis": {"config", "data", "evaluation", "visualization", "engine"},
    "reproduce": {
        "files", "modeling", "config", "data", "visualization", "checkpoint", "model_zoo", "engine",
    },
    "benchmark": {"files", "layers", "modeling", "visualization", "model_zoo", "engine"},
}  # fmt: skip


def imports(file: Path, package: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, relative ones resolved."""
    inside = file.relative_to(package.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_arrows_run_one_way(room: str, repository: Path):
    package = repository / "cascade_rpn_d2"
    files = list((package / room).rglob("*.py"))
    assert files
    for file in files:
        for name in imports(file, package):
            top, *rest = name.split(".")
            assert top not in (
                "tools",
                "configs",
                "projects",
                "pkg_resources",
                "cascade_rpn_lite",
            ), file
            if room == "layers":
                assert top != "detectron2", file
            if top == "cascade_rpn_d2" and rest and rest[0] != room:
                assert rest[0] in ALLOWED[room], f"{file} imports {name}"


def test_every_room_has_its_rule(repository: Path):
    package = repository / "cascade_rpn_d2"
    rooms = {p.name for p in package.iterdir() if (p / "__init__.py").is_file()}
    assert rooms == set(ALLOWED)


def test_import_works_without_pkg_resources_and_writes_nothing(tmp_path: Path, repository: Path):
    program = """
import sys
sys.modules["pkg_resources"] = None  # as with setuptools >= 82: importing it fails
import cascade_rpn_d2
from cascade_rpn_d2 import model_zoo
from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY, PROPOSAL_GENERATOR_REGISTRY
assert "CascadeRPN" in PROPOSAL_GENERATOR_REGISTRY
assert "LazyModel" in META_ARCH_REGISTRY
assert "cascade_rpn_demo_val" in DatasetCatalog.list()
model_zoo.get("demo/cascade_rpn.py", device="cpu")
cfg = model_zoo.get_predictor_cfg("demo/cascade_rpn.py")
from detectron2.engine import DefaultPredictor
import numpy as np
out = DefaultPredictor(cfg)(np.zeros((96, 128, 3), np.uint8))
assert out["proposals"].image_size == (96, 128)
"""
    environment = {
        **os.environ,
        "CASCADE_RPN_D2_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(repository),
    }
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert not list(tmp_path.iterdir())
