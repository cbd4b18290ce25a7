"""Names -> configs, models and checkpoints.

A name is the path of a config below the repository's folder ``configs``, such as
``"cascade_rpn/cascade_rpn_r50_fpn_1x.py"``.
"""

from ..config.files import (
    config_name,
    get_config,
    get_config_file,
    list_configs,
    trusting_configs,
)
from ..config.overrides import apply_overrides
from .build import choose_device, find_weights, get, get_predictor_cfg
from .checkpoints import CHECKPOINTS, ZooCheckpoint, get_checkpoint_file, has_checkpoint
from .drawn_pictures import measure_on_drawn_pictures
from .input_format import InputFormat, reader_of, require_images_suffice
from .lazy_model import LazyModel, instantiate_model
from .published import PUBLISHED, PublishedCheckpoint

__all__ = [
    "CHECKPOINTS",
    "InputFormat",
    "LazyModel",
    "PUBLISHED",
    "PublishedCheckpoint",
    "ZooCheckpoint",
    "apply_overrides",
    "choose_device",
    "config_name",
    "find_weights",
    "get",
    "get_checkpoint_file",
    "get_config",
    "get_config_file",
    "get_predictor_cfg",
    "has_checkpoint",
    "instantiate_model",
    "list_configs",
    "measure_on_drawn_pictures",
    "reader_of",
    "require_images_suffice",
    "trusting_configs",
]
