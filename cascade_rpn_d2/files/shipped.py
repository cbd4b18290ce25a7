"""Folders that lie beside the package in a checkout, and inside it where it is installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_dir(name: str, inside: str, package: Path = _PACKAGE) -> Path:
    """Find a folder that the package is shipped with.

    Args:
        name: of the folder in the repository, such as ``"configs"``.
        inside: where in the package ``setup.py`` puts a copy of it, such as
            ``"model_zoo/configs"``.
        package: the folder of the package.

    Raises:
        FileNotFoundError: if neither a checkout nor the installed package has it.
    """
    checkout = package.parent
    candidates = [package / inside, checkout / name]
    if (checkout / "setup.py").is_file():
        # In a checkout the folder inside the package is a leftover of a build, and may be old.
        candidates.reverse()
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"No folder of {name} at {candidates[0]} or {candidates[1]}: install cascade_rpn_d2 from "
        "its repository or as a wheel built from it."
    )
