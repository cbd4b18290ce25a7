"""Files and folders: where they are, that one is there whole or not at all, and how those of others
are opened. Imports nothing of ours."""

from .shipped import shipped_dir

__all__ = ["shipped_dir"]
