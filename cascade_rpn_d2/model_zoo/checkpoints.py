"""Which trained weights belong to which config, and where they are.

Every file is verified by its SHA-256, or as much of it as is known, before it is used. Weights of
our own come first, then those that others have published (:mod:`.published`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config.files import config_name
from ..config.suggest import alternatives
from ..files.digest import sha256_of
from ..files.download import local_path
from .published import PUBLISHED, get_published_file

_CHECKPOINTS_DIR = Path(__file__).resolve().parent / "checkpoints"


@dataclass(frozen=True)
class ZooCheckpoint:
    """One trained model.

    Args:
        file: name of a file in ``model_zoo/checkpoints``, or a URL, which is downloaded once.
        sha256: hexadecimal SHA-256 of the file.
    """

    file: str
    sha256: str

    @property
    def location(self) -> str:
        """Path or URL of the file."""
        return self.file if "://" in self.file else str(_CHECKPOINTS_DIR / self.file)


# Config name -> its checkpoint. `export_checkpoint` writes such files and returns their SHA-256.
CHECKPOINTS: dict[str, ZooCheckpoint] = {
    "demo/cascade_rpn.py": ZooCheckpoint(
        file="demo_cascade_rpn.pth",
        sha256="692a94d8ada9121dec06827ad7898e3c631da7e5f6e5c2dd02c44782e3132006",
    ),
}


def has_checkpoint(name: str) -> bool:
    """Whether the zoo has trained weights for a config, given by name or path.

    Raises:
        ValueError: if there is no such config.
    """
    return config_name(name) in CHECKPOINTS | PUBLISHED


def get_checkpoint_file(name: str) -> str:
    """Local path of the trained weights of a config, verified.

    They are downloaded if need be, and converted if they are of another framework.

    Args:
        name: a name or path as for :func:`~cascade_rpn_d2.model_zoo.get_config_file`.

    Raises:
        ValueError: if there is no such config, if the zoo has no weights for it, or if the file is
            not the one that was published.
        OSError: if the file cannot be downloaded, or is not where the package has it.
    """
    own_name = config_name(name) or ""
    checkpoint = CHECKPOINTS.get(own_name)
    if checkpoint is None and own_name in PUBLISHED:
        return get_published_file(own_name)
    if checkpoint is None:
        names = sorted(CHECKPOINTS | PUBLISHED)
        folder = f"{Path(own_name).parent}/"
        names = [other for other in names if other.startswith(folder)] or names
        have = f"it has those of {alternatives(names)}" if names else "none yet"
        raise ValueError(
            f"The zoo has no trained weights for '{name}' ({have}): train it with "
            "`cascade-rpn train`, or name a file of weights."
        )
    file = local_path(checkpoint.location)
    if not Path(file).is_file():
        raise FileNotFoundError(
            f"The weights of '{name}' are missing at {file}: install cascade_rpn_d2 again."
        )
    found = sha256_of(file)
    if found != checkpoint.sha256:
        raise ValueError(
            f"{file} has the SHA-256 {found} instead of {checkpoint.sha256}: delete it, then "
            "download it or install cascade_rpn_d2 again."
        )
    return file
