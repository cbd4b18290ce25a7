"""High-quality region proposals and point-guided boxes for Detectron2.

Importing the package registers its components and its demo dataset with Detectron2, and does no
more.
"""

from . import _detectron2  # says how to get it
from . import model_zoo as _model_zoo  # registers LazyModel
from . import modeling as _modeling  # registers all that a yacs config can name
from .data import register_demo_dataset

__version__ = "0.1.0"

register_demo_dataset()
