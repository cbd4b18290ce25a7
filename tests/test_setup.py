"""Building the package: with torch and without, with a compiler and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

SOURCES = (
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "configs",
    "projects",
)
PACKAGES = ("cascade_rpn_d2", "cascade_rpn_lite")


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A copy of what the build reads."""
    ignore = shutil.ignore_patterns("*.so", "__pycache__", "*.jpg", "*.png")
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in (*SOURCES, *PACKAGES):
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        elif source.is_file():
            shutil.copy(source, folder)
    return folder


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python finds no torch, as in an isolated build."""
    folder = tmp_path / "without_torch"
    folder.mkdir()
    # Python runs it before anything else.
    (folder / "sitecustomize.py").write_text("import sys; sys.modules['torch'] = None")
    return {"PYTHONPATH": str(folder)}


def build(hook: str, checkout: Path, **environment: str) -> subprocess.CompletedProcess:
    """Calls a hook of the build backend as pip and uv do; what it writes goes to dist/."""
    program = (
        "import sys, os; os.makedirs('dist', exist_ok=True); "
        "from setuptools import build_meta; getattr(build_meta, sys.argv[1])('dist')"
    )
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CASCADE_RPN_")}
    return subprocess.run(
        [sys.executable, "-c", program, hook],
        cwd=checkout,
        env={**inherited, "FORCE_CUDA": "0", **environment},
        capture_output=True,
        text=True,
    )


def names_in_wheel(checkout: Path) -> tuple[str, list[str]]:
    (wheel,) = checkout.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return wheel.name, archive.namelist()


@pytest.mark.slow
def test_a_sdist_is_made_without_torch_and_makes_a_wheel(checkout, without_torch, tmp_path):
    outcome = build("build_sdist", checkout, **without_torch)
    assert outcome.returncode == 0, outcome.stderr
    (sdist,) = checkout.glob("dist/*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    sources = {p.relative_to(checkout) for p in checkout.glob("cascade_rpn_d2/layers/csrc/**/*")}
    assert sources and all((unpacked / source).exists() for source in sources)

    outcome = build("build_wheel", unpacked, CASCADE_RPN_COMPILE="0", **without_torch)
    assert outcome.returncode == 0, outcome.stderr
    name, names = names_in_wheel(unpacked)
    assert name.endswith("-py3-none-any.whl")
    expected = {
        p.relative_to(checkout).as_posix()
        for package in PACKAGES
        for p in checkout.glob(f"{package}/**/*")
        if p.suffix in (".py", ".pth", ".typed")
    }
    expected |= {
        f"cascade_rpn_d2/model_zoo/{p.relative_to(checkout).as_posix()}"
        for p in checkout.glob("configs/**/*.py")
    }
    expected |= {
        f"cascade_rpn_d2/reproduce/{p.relative_to(checkout).as_posix()}"
        for p in checkout.glob("projects/*/tables.py")
    }
    assert expected <= set(names), sorted(expected - set(names))
    assert not [name for name in names if name.endswith((".so", ".cu", ".cpp", ".h"))]


def test_an_isolated_build_ends_before_anything_is_downloaded(checkout, without_torch):
    outcome = build("prepare_metadata_for_build_wheel", checkout, **without_torch)
    assert outcome.returncode == 1
    assert outcome.stderr.splitlines()[-1] == (
        "cascade_rpn_d2 compiles its operators for the torch that is installed, and this build "
        "sees none: install torch, setuptools>=77, wheel and ninja first and say "
        "--no-build-isolation to pip or uv, or set CASCADE_RPN_COMPILE=0 for slower operators in "
        "pure torch."
    )
    assert "Traceback" not in outcome.stderr


def test_an_isolated_build_says_what_it_needs_for_a_wheel_too(checkout, without_torch):
    outcome = build("build_wheel", checkout, **without_torch)
    assert outcome.returncode == 1 and "this build sees none" in outcome.stderr.splitlines()[-1]


def test_a_variable_that_is_neither_0_nor_1_is_an_error(checkout):
    outcome = build("build_sdist", checkout, CASCADE_RPN_COMPILE="yes")
    assert outcome.stderr.endswith("CASCADE_RPN_COMPILE must be 0 or 1, got 'yes'.\n")


def test_an_old_setuptools_is_an_error(checkout, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/sitecustomize.py").write_text(
        "import setuptools; setuptools.__version__ = '65.5.0'"
    )
    outcome = build("build_sdist", checkout, PYTHONPATH=str(tmp_path / "old"))
    assert outcome.returncode == 1
    assert outcome.stderr.splitlines()[-1] == (
        "cascade_rpn_d2 is built by setuptools 77 or later, and here is 65.5.0: update it with "
        "`pip install --upgrade setuptools wheel`."
    )


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["build_wheel", "build_editable"])
def test_a_compiler_that_fails_leaves_the_library_out(checkout, hook):
    library = checkout / "cascade_rpn_d2/_C.abi3.so"
    library.write_text("of an earlier torch")
    outcome = build(hook, checkout, CXX="false")
    assert outcome.returncode == 0, outcome.stderr
    said = [line for line in outcome.stderr.splitlines() if "slower pure torch" in line]
    assert len(said) == 1 and "could not be compiled: " in said[0]
    name, names = names_in_wheel(checkout)
    assert not [n for n in names if n.endswith(".so")]
    if hook == "build_wheel":
        assert name.endswith("-py3-none-any.whl")
    else:
        assert not library.exists()


@pytest.mark.slow
@pytest.mark.skipif(torch.version.cuda is None, reason="torch is not a CUDA build")
def test_an_nvcc_that_does_not_fit_torch_leaves_cuda_out_first(checkout, tmp_path):
    toolkit = tmp_path / "cuda"
    for name in ("bin/nvcc", "include/cuda_runtime.h"):
        (toolkit / name).parent.mkdir(parents=True)
        (toolkit / name).write_text("#!/bin/sh\necho 'Cuda compilation, release 9.1, V9.1.2'\n")
    (toolkit / "bin/nvcc").chmod(0o755)
    # C++ would take minutes; that it is tried is seen by what is said of it.
    outcome = build("build_wheel", checkout, CUDA_HOME=str(toolkit), CXX="false", FORCE_CUDA="")
    assert outcome.returncode == 0, outcome.stderr
    said = [line for line in outcome.stderr.splitlines() if "could not be compiled: " in line]
    assert len(said) == 2 and "run its operators on slower pure torch" in said[1]
    assert "run its operators without CUDA" in said[0]
    outcome = build("build_wheel", checkout, CUDA_HOME=str(toolkit), FORCE_CUDA="1")
    assert outcome.returncode == 1
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith("FORCE_CUDA=1, but the operators cannot be compiled: ")
    assert "(9.1)" in last and f"({torch.version.cuda})" in last  # torch says which two differ


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["false", "nowhere-c++"])
def test_a_compiler_that_fails_can_be_made_an_error(checkout, compiler):
    outcome = build("build_wheel", checkout, CXX=compiler, CASCADE_RPN_COMPILE="1")
    assert outcome.returncode == 1
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith("CASCADE_RPN_COMPILE=1, but the operators cannot be compiled: ")
