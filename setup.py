"""Builds and installs cascade_rpn_d2; what is not said here stands in pyproject.toml.

The extension is compiled against the torch that is installed, so install with
``pip install --no-build-isolation .``. C++ is always compiled. CUDA is compiled when torch is a
CUDA build and its nvcc is found, with or without a GPU in the machine. Where nvcc fails, there is
an extension without CUDA; where the C++ compiler fails, there is none, and the package runs on
slower pure torch.

Environment:
    CASCADE_RPN_COMPILE: 1 compiles the extension or fails saying why not, 0 does not compile it and
        needs no torch to build (in a checkout, a library of an earlier build stays).
    FORCE_CUDA: 1 compiles CUDA or fails saying why not, 0 never compiles it.
    TORCH_CUDA_ARCH_LIST: GPU architectures, e.g. "8.6;9.0+PTX"; by default those of the GPUs at
        hand, or a short list for current ones.
    MAX_JOBS: how many compilers run at once.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import setuptools
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.dist_info import dist_info
from setuptools.errors import BaseError, CCompilerError

if int(setuptools.__version__.split(".")[0]) < 77:  # without build isolation it is the one at hand
    sys.exit(
        f"cascade_rpn_d2 is built by setuptools 77 or later, and here is {setuptools.__version__}: "
        "update it with `pip install --upgrade setuptools wheel`."
    )
from setuptools.command.bdist_wheel import bdist_wheel

# torch is imported when the extension is built, so that a sdist is made without it.

ROOT = Path(__file__).resolve().parent
LIBRARY = "cascade_rpn_d2._C"
SOURCES = Path("cascade_rpn_d2/layers/csrc")
COMPILER_FAILURES = (
    BaseError,
    CCompilerError,
    OSError,
    RuntimeError,  # torch's, of ninja
    subprocess.SubprocessError,
)
# Where the repository is, such as https://host/owner/name; "" while it has no public address.
ADDRESS = ""
# A link or a picture of the README that leads to a file of the repository.
RELATIVE_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\((?!https?://|mailto:|#)([^)\s]+)\)")
# A picture and the paragraph in italics below it.
CAPTIONED_PICTURE = re.compile(r"!\[[^\[\]]*\]\(([^)\s]+)\)\n\n\*[^*]+\*\n\n")
# Ampere to Ada run the first, Hopper the second, later GPUs its PTX.
DEFAULT_ARCHITECTURES = "8.0;9.0+PTX"


def requested(variable: str) -> str:
    """What a variable of the environment asks for: "0", "1" or, where it is not set, ""."""
    value = os.environ.get(variable, "")
    if value not in ("", "0", "1"):
        sys.exit(f"{variable} must be 0 or 1, got {value!r}.")
    return value


def demand_torch() -> None:
    """Ends with one sentence where torch is not there, as in pip's isolated builds."""
    if importlib.util.find_spec("torch") is None:
        sys.exit(
            "cascade_rpn_d2 compiles its operators for the torch that is installed, and this build "
            "sees none: install torch, setuptools>=77, wheel and ninja first and say "
            "--no-build-isolation to pip or uv, or set CASCADE_RPN_COMPILE=0 for slower operators "
            "in pure torch."
        )


def long_description(readme: str, address: str = ADDRESS) -> str:
    """README.md for the page of a package index, which has none of the repository's files.

    Relative links and pictures lead to the repository; without an address links become text, and
    pictures are left out, with their captions.
    """

    def replace(match: re.Match[str]) -> str:
        picture, text, target = match.groups()
        if address:
            kind = "raw" if picture else "blob"
            return f"{picture}[{text}]({address}/{kind}/main/{target})"
        return "" if picture else text

    if not address:
        readme = CAPTIONED_PICTURE.sub("", readme)
    return RELATIVE_LINK.sub(replace, readme)


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


def why_no_cuda() -> str | None:
    """Returns None when CUDA sources can be compiled, else the reason."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is not a CUDA build"
    if CUDA_HOME is None or shutil.which("nvcc", path=str(Path(CUDA_HOME, "bin"))) is None:
        return "nvcc was not found; set CUDA_HOME to a CUDA toolkit"
    return None


def with_cuda() -> bool:
    """Whether to compile CUDA, by FORCE_CUDA or else by what is there."""
    reason = why_no_cuda()
    if requested("FORCE_CUDA") == "1" and reason:
        sys.exit(f"FORCE_CUDA=1, but CUDA cannot be compiled: {reason}.")
    return requested("FORCE_CUDA") != "0" and reason is None


def extension(cuda: bool) -> Extension:
    """The library cascade_rpn_d2/_C.abi3.so. It sets no -std: torch knows which one it needs."""
    import torch
    from torch.utils.cpp_extension import CppExtension, CUDAExtension

    sources = [*SOURCES.glob("*.cpp"), *SOURCES.glob("cpu/*.cpp")]
    cxx_flags = ["-O3"] if os.name != "nt" else []
    if sys.platform == "linux" and torch.backends.openmp.is_available():
        # Compiled but not linked with OpenMP: the symbols come from the runtime that torch has
        # loaded. A second runtime in the process would not see that torch's threads are busy.
        cxx_flags.append("-fopenmp")
    headers = [*SOURCES.glob("**/*.h"), *SOURCES.glob("**/*.cuh")]
    arguments = {"py_limited_api": True, "depends": sorted(map(str, headers))}
    if not cuda:
        return CppExtension(
            LIBRARY,
            sorted(map(str, sources)),
            extra_compile_args={"cxx": cxx_flags},
            **arguments,
        )
    if not torch.cuda.is_available() and not os.environ.get("TORCH_CUDA_ARCH_LIST"):
        os.environ["TORCH_CUDA_ARCH_LIST"] = DEFAULT_ARCHITECTURES
    sources += [*SOURCES.glob("cuda/*.cpp"), *SOURCES.glob("cuda/*.cu")]
    arguments["define_macros"] = [("WITH_CUDA", None)]
    return CUDAExtension(
        LIBRARY,
        sorted(map(str, sources)),
        extra_compile_args={"cxx": cxx_flags, "nvcc": ["-O3"]},
        **arguments,
    )


class BuildExtension(build_ext):
    """Has torch's command build the extension: without CUDA where that fails, and where its C++
    fails too, not at all."""

    def run(self) -> None:
        demand_torch()
        find_cuda_home()
        for cuda in (True, False) if with_cuda() else (False,):
            failure = self.build(extension(cuda))
            if failure is None:
                return
            for demand in ("CASCADE_RPN_COMPILE", "FORCE_CUDA"):
                if requested(demand) == "1":
                    sys.exit(f"{demand}=1, but the operators cannot be compiled: {failure}.")
            instead = "without CUDA" if cuda else "on slower pure torch"
            print(
                f"cascade_rpn_d2 will run its operators {instead}, as they could not be compiled: "
                f"{failure}.",
                file=sys.stderr,
            )
        self.leave_out()

    def build(self, module: Extension) -> str | None:
        """Builds it; returns why it could not be built, in one line."""
        from torch.utils.cpp_extension import BuildExtension as TorchBuildExtension

        self.distribution.ext_modules = [module]
        command = TorchBuildExtension(self.distribution)
        for option in ("build_lib", "build_temp", "inplace", "editable_mode", "parallel", "debug"):
            setattr(command, option, getattr(self, option))
        command.ensure_finalized()
        try:
            command.run()
        except COMPILER_FAILURES as error:
            # torch hands over some of its messages with their values beside them.
            template, *values = map(str, error.args) if error.args else [str(error)]
            try:
                text = template % tuple(values)
            except TypeError:
                text = str(error)
            return text.partition("\n")[0].rstrip(".")
        return None

    def leave_out(self) -> None:
        """Forgets the extension, with the library of an earlier build."""
        file = self.get_ext_filename(LIBRARY)
        for folder in (self.build_lib, ROOT) if self.inplace else (self.build_lib,):
            Path(folder, file).unlink(missing_ok=True)
        self.extensions = self.distribution.ext_modules = []


class BuildWithFolders(build_py):
    """Puts a copy of configs/ and the papers' tables where the installed package looks for them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib, "cascade_rpn_d2")
        shutil.copytree(
            ROOT / "configs",
            package / "model_zoo/configs",
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for tables in ROOT.glob("projects/*/tables.py"):
            target = package / "reproduce" / tables.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tables, target)


class Metadata(dist_info):
    """What pip and uv ask for first: here an isolated build ends, before anything is downloaded."""

    def run(self) -> None:
        if self.distribution.has_ext_modules():
            demand_torch()
        super().run()


class Wheel(bdist_wheel):
    """A wheel for every platform if the extension was left out."""

    def run(self) -> None:
        self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


setup(
    long_description=long_description((ROOT / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["cascade_rpn_d2*", "cascade_rpn_lite*"]),
    include_package_data=False,  # or the kernels' sources, which are for the sdist, come too
    package_data={
        "": ["py.typed"],
        "cascade_rpn_d2.model_zoo": ["checkpoints/*.pth"],
    },
    # What our code imports, but Detectron2: no index has it under that name.
    install_requires=[
        "torch>=2.9",
        "torchvision",
        "fvcore>=0.1.5,<0.1.6",
        "iopath>=0.1.7,<0.1.10",
        "matplotlib",
        "numpy",
        "omegaconf>=2.1,<2.4",
        "opencv-python-headless",
        "pillow",
        "pycocotools>=2.0.7",
        "tabulate",
        "tensorboard",
        "tqdm",
    ],
    # It stands for the extension() that is built.
    ext_modules=[Extension(LIBRARY, [], py_limited_api=True)]
    if requested("CASCADE_RPN_COMPILE") != "0"
    else [],
    cmdclass={
        "bdist_wheel": Wheel,
        "build_ext": BuildExtension,
        "build_py": BuildWithFolders,
        "dist_info": Metadata,
    },
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
