"""Configs: how they are found and read, and what is done to them; and this package's yacs keys.

:mod:`.files`, :mod:`.names` and :mod:`.overrides` are reached through
:mod:`cascade_rpn_d2.model_zoo`.
"""

from .authors import use_authors_recipe
from .defaults import add_cascade_rpn_config
from .inclusive import use_cpm_authors_geometry, use_grid_authors_geometry
from .trunk import use_trunk

__all__ = [
    "add_cascade_rpn_config",
    "use_authors_recipe",
    "use_cpm_authors_geometry",
    "use_grid_authors_geometry",
    "use_trunk",
]
