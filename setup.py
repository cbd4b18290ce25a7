"""Builds and installs cascade_rpn_d2; what is not said here stands in pyproject.toml.

The extension is compiled against the torch that is installed, so install with
``pip install --no-build-isolation .``. C++ is always compiled. CUDA is compiled when torch is a
CUDA build and its nvcc is found, with or without a GPU in the machine.

Environment:
    FORCE_CUDA: 1 compiles CUDA or fails saying why not, 0 never compiles it.
    TORCH_CUDA_ARCH_LIST: GPU architectures, e.g. "8.6;9.0+PTX"; by default those of the GPUs at
        hand, or a short list for current ones.
    MAX_JOBS: how many compilers run at once.
    DETECTRON2: where to take Detectron2 from, instead of its commit on GitHub.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
DETECTRON2 = (
    "git+https://github.com/facebookresearch/detectron2@02b5c4e295e990042a714712c21dc79b731e8833"
)
SOURCES = Path("cascade_rpn_d2/layers/csrc")
# Ampere to Ada run the first, Hopper the second, later GPUs its PTX.
DEFAULT_ARCHITECTURES = "8.0;9.0+PTX"


def find_cuda_home() -> None:
    """Sets CUDA_HOME where torch's guess, the folder above nvcc's, is not the toolkit.

    An nvcc that is a wrapper script or a link knows itself where its toolkit is.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None or os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH"):
        return
    if Path(nvcc).parents[1].joinpath("include", "cuda_runtime.h").is_file():
        return
    plan = subprocess.run(
        [nvcc, "--dryrun", "-c", "-x", "cu", os.devnull], capture_output=True, text=True
    )
    top = re.search(r"^#\$ TOP=(.+)$", plan.stderr, re.MULTILINE)
    if top and Path(top[1], "include", "cuda_runtime.h").is_file():
        os.environ["CUDA_HOME"] = str(Path(top[1]).resolve())


find_cuda_home()
# It looks for CUDA_HOME when it is imported.
from torch.utils.cpp_extension import (  # noqa: E402
    CUDA_HOME,
    BuildExtension,
    CppExtension,
    CUDAExtension,
)


def why_no_cuda() -> str | None:
    """Returns None when CUDA sources can be compiled, else the reason."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is not a CUDA build"
    if CUDA_HOME is None or shutil.which("nvcc", path=str(Path(CUDA_HOME, "bin"))) is None:
        return "nvcc was not found; set CUDA_HOME to a CUDA toolkit"
    return None


def with_cuda() -> bool:
    """Whether to compile CUDA, by FORCE_CUDA or else by what is there."""
    wish = os.environ.get("FORCE_CUDA", "")
    if wish not in ("", "0", "1"):
        sys.exit(f"FORCE_CUDA must be 0 or 1, got {wish!r}.")
    reason = why_no_cuda()
    if wish == "1" and reason:
        sys.exit(f"FORCE_CUDA=1, but CUDA cannot be compiled: {reason}.")
    return wish != "0" and reason is None


def extension() -> CppExtension:
    """The library cascade_rpn_d2/_C.abi3.so. It sets no -std: torch knows which one it needs."""
    sources = [*SOURCES.glob("*.cpp"), *SOURCES.glob("cpu/*.cpp")]
    cxx_flags = ["-O3"] if os.name != "nt" else []
    if sys.platform == "linux" and torch.backends.openmp.is_available():
        # Compiled but not linked with OpenMP: the symbols come from the runtime that torch has
        # loaded. A second runtime in the process would not see that torch's threads are busy.
        cxx_flags.append("-fopenmp")
    headers = [*SOURCES.glob("**/*.h"), *SOURCES.glob("**/*.cuh")]
    arguments = {"py_limited_api": True, "depends": sorted(map(str, headers))}
    if not with_cuda():
        return CppExtension(
            "cascade_rpn_d2._C",
            sorted(map(str, sources)),
            extra_compile_args={"cxx": cxx_flags},
            **arguments,
        )
    if not torch.cuda.is_available() and not os.environ.get("TORCH_CUDA_ARCH_LIST"):
        os.environ["TORCH_CUDA_ARCH_LIST"] = DEFAULT_ARCHITECTURES
    sources += [*SOURCES.glob("cuda/*.cpp"), *SOURCES.glob("cuda/*.cu")]
    arguments["define_macros"] = [("WITH_CUDA", None)]
    return CUDAExtension(
        "cascade_rpn_d2._C",
        sorted(map(str, sources)),
        extra_compile_args={"cxx": cxx_flags, "nvcc": ["-O3"]},
        **arguments,
    )


def detectron2() -> str:
    """The requirement of Detectron2, which is on no package index: the commit we build on, or what
    the variable DETECTRON2 names instead, an address or a path."""
    source = os.environ.get("DETECTRON2") or DETECTRON2
    return f"detectron2 @ {source if '://' in source else Path(source).resolve().as_uri()}"


class BuildWithConfigs(build_py):
    """Puts a copy of configs/ into the package, where an installed model zoo looks for it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "cascade_rpn_d2", "model_zoo", "configs")
            shutil.copytree(
                ROOT / "configs",
                target,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )


setup(
    packages=find_packages(include=["cascade_rpn_d2", "cascade_rpn_d2.*"]),
    package_data={"cascade_rpn_d2.model_zoo": ["checkpoints/*.pth"]},
    install_requires=[
        "torch>=2.9",
        "torchvision",
        "fvcore>=0.1.5,<0.1.6",
        "iopath>=0.1.7,<0.1.10",
        "numpy",
        "omegaconf>=2.1,<2.4",
        "opencv-python-headless",
        "pycocotools>=2.0.7",
        "tabulate",
        "tensorboard",
        "tqdm",
        detectron2(),
    ],
    ext_modules=[extension()],
    cmdclass={"build_ext": BuildExtension, "build_py": BuildWithConfigs},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
