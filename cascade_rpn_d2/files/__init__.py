"""Files and folders: where they are, and that one is there whole or not at all. Imports nothing
of ours."""

from .shipped import shipped_dir

__all__ = ["shipped_dir"]
