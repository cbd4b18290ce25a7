"""The yacs keys of this package, and changes that make one experiment of another."""

from .authors import use_authors_geometry
from .defaults import add_cascade_rpn_config
from .inclusive import use_cpm_authors_geometry, use_grid_authors_geometry
from .trunk import use_trunk

__all__ = [
    "add_cascade_rpn_config",
    "use_authors_geometry",
    "use_cpm_authors_geometry",
    "use_grid_authors_geometry",
    "use_trunk",
]
