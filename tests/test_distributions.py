"""The sdist and the wheel hold all that the commands need: both are installed and used."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.engine.tiny_data import write_dataset

pytestmark = pytest.mark.slow

BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def run(
    *command: object, cwd: Path, timeout: float = 1200, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment | {"OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    return done


@pytest.fixture(scope="module")
def sdist(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c", BUILD_SDIST, folder, cwd=repository)
    (file,) = folder.glob("*.tar.gz")
    return file


@pytest.fixture(scope="module", params=["compiled wheel of the sdist", "sdist without a compiler"])
def installed(request, sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of a new environment, which sees the packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=False)
    programs = folder / "venv" / "bin"
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    # A path in a .pth file is searched, but .pth files there are not read: this checkout is unseen.
    here = Path(sysconfig.get_path("purelib", vars=paths), "packages_of_the_tests.pth")
    origins = [importlib.util.find_spec(name).origin for name in ("torch", "detectron2", "cv2")]
    here.write_text("".join(f"{Path(origin).parents[1]}\n" for origin in dict.fromkeys(origins)))
    compiles = request.param.startswith("compiled")
    install = ("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    package = sdist
    variables = {"FORCE_CUDA": "0", "CASCADE_RPN_COMPILE": str(int(compiles))}
    if compiles:
        wheel = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
        run(sys.executable, "-m", "pip", *wheel, sdist, cwd=folder, **variables)
        (package,) = folder.glob("*.whl")
        assert "-cp310-abi3-" in package.name
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    run(*pip, *install, package, cwd=folder, **variables)
    program = (
        "import cascade_rpn_d2; from cascade_rpn_d2.layers import _library; "
        "print(_library.is_compiled(), cascade_rpn_d2.__file__)"
    )
    found = run(programs / "python", "-W", "ignore", "-c", program, cwd=folder).stdout.split()
    assert found[0] == str(compiles) and found[1].startswith(str(folder))
    return programs


def is_noise(line: str) -> bool:
    """Whether a line of the standard error is a warning, but for our own of the missing kernels."""
    return "Warning: " in line and "runs its operators on a slower pure-torch fallback" not in line


def test_the_commands_work_from_an_empty_folder(installed: Path, tmp_path: Path):
    program, empty = installed / "cascade-rpn", tmp_path / "empty"
    empty.mkdir()
    assert "usage: cascade-rpn" in run(program, "--help", cwd=empty).stdout
    assert run(program, "--version", cwd=empty).stdout.startswith("cascade-rpn 0")
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (120, 160, 3)))
    told = run(
        *(program, "predict", "--config-file", "demo/cascade_rpn.py", "--device", "cpu"),
        *("--input", photo, "--output", "drawn", "--json", "boxes.json"),
        cwd=empty,
    )
    assert "on 1 images in drawn" in told.stdout and (empty / "drawn/photo.png").is_file()
    images, annotations = write_dataset(tmp_path / "data", images=4).split(":")
    data = f"{images}:{annotations}"
    table = run(
        *(program, "reproduce", "cascade_rpn/table3", "--rows", "4", "--num-gpus", "0"),
        *("--train-data", data, "--test-data", data, "train.max_iter=2"),
        cwd=empty,
    )
    assert "| + Alignment" in table.stdout
    assert (empty / "output/reproduce/tiny/cascade_rpn_table3.json").is_file()
    demo = run(program, "demo", "--device", "cpu", "train.max_iter=2", cwd=empty)
    assert "Average recall on the test images after 2 iterations each" in demo.stdout
    assert (empty / "output/demo/proposals.png").is_file()
    for command in (told, table, demo):
        assert not [line for line in command.stderr.splitlines() if is_noise(line)]


def test_the_sdist_holds_what_it_is_built_from_and_no_more(sdist: Path, repository: Path):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        metadata = archive.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO").read()
    page = metadata.decode().partition("\n\n")[2]
    assert "## Installation" in page and not re.search(r"\]\((?!https?://|#)", page)
    for kept in ("LICENSE", "README.md", "setup.py", "cascade_rpn_lite/cli.py"):
        assert kept in names
    for pattern in (
        "configs/**/*.py",
        "projects/*/tables.py",
        "cascade_rpn_d2/layers/csrc/**/*.c*",
    ):
        files = {p.relative_to(repository).as_posix() for p in repository.glob(pattern)}
        assert files and files <= names
    assert not any(name.endswith((".so", ".pyc")) or name.startswith("tests/") for name in names)
