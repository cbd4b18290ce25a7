"""From the file names of an annotation file to files in the image folder."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from .coco_fields import AnnotationFileError

logger = logging.getLogger(__name__)

_allowed_outside = False
_NAMED = 3  # how many of several culprits a message names
_DRIVE = re.compile(r"[A-Za-z]:")


def allow_outside_images(allowed: bool = True) -> None:
    """Say whether image folders take names that lead out of them, where they are not told.

    An option of a command: it holds for all data that the process reads from then on, those that a
    config records included.
    """
    global _allowed_outside
    _allowed_outside = allowed


class ImageFolder:
    """The folder that a dataset's images are in, which their names must not lead out of.

    Args:
        root: the folder, absolute.
        allow_outside: take names that lead out of it, such as ``/data/a.jpg`` or ``../a.jpg``. An
            annotation file from a stranger could show other files of this machine that way. Links
            inside the folder may lead anywhere. None for what :func:`allow_outside_images` says, by
            default no.
    """

    def __init__(self, root: Path, allow_outside: bool | None = None) -> None:
        self.root = Path(os.path.normpath(root))
        self.allow_outside = _allowed_outside if allow_outside is None else allow_outside

    def locate(self, json_file: Path, names: Sequence[str]) -> list[str]:
        """Find the images.

        Back slashes are read as slashes, absolute paths below the folder as relative ones. Leading
        folders that all names have in common are left out if no image is found with them, and they
        repeat the end of the folder's own path or are ``images``.

        Args:
            json_file: for messages.
            names: of the images, as the file gives them.

        Returns:
            Their paths relative to the folder; absolute for those outside.

        Raises:
            AnnotationFileError: for a name that leads out of the folder.
            FileNotFoundError: when images are missing; says how many and names the first.
        """
        located = [self._inside(json_file, i, name) for i, name in enumerate(names)]
        missing = self._missing(located)
        if len(missing) == len(located):
            repeated = self._repeated(located)
            shorter = [str(Path(*Path(name).parts[repeated:])) for name in located]
            found = self._missing(shorter)
            if len(found) < len(missing):
                prefix = located[0][: -len(shorter[0])]
                logger.info("%s: '%s' before its file names is left out.", json_file, prefix)
                located, missing = shorter, found
        if missing:
            shown = [f"{name:.200}" for name in missing[:_NAMED]]
            more = ", ..." if len(missing) > _NAMED else ""
            raise FileNotFoundError(
                f"{len(missing)} of the {len(names)} images of {json_file} are missing in "
                f"{self.root} ({', '.join(shown)}{more}): add them, or remove them from "
                "the file."
            )
        return located

    def _inside(self, json_file: Path, position: int, name: str) -> str:
        if "\\" in name and not self._is_file(name):
            name = name.replace("\\", "/")
        path = os.path.normpath(os.path.join(self.root, name))
        below = os.path.join(self.root, "")
        inside = path.startswith(below)
        if inside and not (_DRIVE.match(name) and not os.path.exists(path)):
            return path[len(below) :]
        if self.allow_outside and not inside:
            return path
        raise AnnotationFileError(
            f"{json_file}: images[{position}] has file_name {name!r:.60}, which leads out of the "
            f"image folder {self.root}: correct it, or give --allow-outside-images if you trust "
            "the file."
        )

    def _missing(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if not self._is_file(name)]

    def _is_file(self, name: str) -> bool:
        return os.path.isfile(os.path.join(self.root, name))

    def _repeated(self, names: Sequence[str]) -> int:
        """How many leading folders of all names the folder's own path may already hold."""
        folders = [Path(name).parent.parts for name in names]
        common = tuple(os.path.commonprefix(folders))
        for count in range(len(common), 0, -1):
            if common[:count] == self.root.parts[-count:]:
                return count
        return int(common[:1] == ("images",))
