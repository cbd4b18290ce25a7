"""Install Detectron2 into this environment, from where it can be had.

    cascade-rpn install-detectron2
    cascade-rpn install-detectron2 --source /path/to/detectron2

Without --source it is the commit on GitHub that this project is tested with; where GitHub cannot be
reached, or no C++ compiler works, the copy on the package index, without its compiled part, which
nothing here needs. One line says which, and why. A Detectron2 that is there already is left as it
is. In a checkout of which nothing is installed yet the command is
`python -m cascade_rpn_lite install-detectron2`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import detectron2_index_copy as index_copy
from .detectron2_source import INDEX, choose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--source",
        default=os.environ.get("DETECTRON2"),
        help="where to take it from: an address that pip understands, a local clone, a wheel, or "
        f"'{INDEX}' for the copy on the package index (default: what DETECTRON2 in the environment "
        "names)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say which it would be, whether or not one is there, and print where it comes from",
    )
    # Of tools/install.sh: what --dry-run printed, before there was an environment to install into.
    parser.add_argument("--chosen", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    """Choose and install.

    Raises:
        SystemExit: with one sentence, if it cannot be had or does not build.
    """
    if args.chosen:
        install(args.chosen)
        return
    present = None if args.dry_run else installed()
    if present:
        advice = "; uninstall it first to have another" if args.source else ""
        print(f"install: detectron2 from {present}: installed already{advice}", file=sys.stderr)
        return
    choice = choose(args.source)
    print(choice, file=sys.stderr)
    if args.dry_run:
        print(choice.source)
    else:
        install(choice.source)


def installed() -> str | None:
    """Where the Detectron2 of this environment came from; None if there is none."""
    spec = importlib.util.find_spec("detectron2")
    if spec is None or spec.origin is None:  # a folder of that name, such as a clone, is none
        return None
    try:
        importlib.metadata.distribution(index_copy.NAME)
        return f"the package index ({index_copy.TITLE})"
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        distribution = importlib.metadata.distribution("detectron2")
    except importlib.metadata.PackageNotFoundError:
        return str(Path(spec.origin).parent)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id")
    if commit:
        return f"git+{origin['url']}@{commit}"
    return origin.get("url", f"{distribution.name} {distribution.version}")


def install(source: str) -> None:
    """Install what ``detectron2_source.choose`` chose.

    Raises:
        SystemExit: with one sentence, if that fails.
    """
    pip_install = _pip_install()
    try:
        if source == INDEX:
            with tempfile.TemporaryDirectory() as folder:
                unpacked = index_copy.download(pip_install, Path(folder))
                wheel = index_copy.make_wheel(unpacked, Path(folder))
                subprocess.run([*pip_install, str(wheel)], check=True)
        elif source.endswith(".whl"):
            subprocess.run([*pip_install, source], check=True)
        else:
            _prepare_build(pip_install)
            print("install: building detectron2 (about 2 minutes)", file=sys.stderr)
            subprocess.run([*pip_install, "--no-build-isolation", source], check=True)
    except subprocess.CalledProcessError:
        if source == INDEX:
            raise SystemExit(
                "install: detectron2 could not be had from the package index (see above): set "
                "DETECTRON2= to a local clone, a wheel or a mirror of it."
            ) from None
        raise SystemExit(
            f"install: detectron2 could not be installed from {source} (see above): set DETECTRON2="
            f" to another source of it, such as DETECTRON2={INDEX} for the package index's copy."
        ) from None


def _pip_install() -> list[str]:
    """The command that installs into the environment of this interpreter."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet"]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise SystemExit(f"install: neither pip for {sys.executable} nor uv is there: install one.")


def _prepare_build(pip_install: list[str]) -> None:
    """See that there is what Detectron2's setup.py imports, which builds for the torch at hand."""
    if importlib.util.find_spec("torch") is None:
        raise SystemExit(
            f"install: {sys.executable} has no torch, against which detectron2 is built: install "
            f"torch first, or set DETECTRON2={INDEX} for the copy on the package index."
        )
    missing = [name for name in ("setuptools", "wheel") if importlib.util.find_spec(name) is None]
    if missing:
        subprocess.run([*pip_install, *missing], check=True)
