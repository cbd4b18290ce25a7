"""The yacs keys of this package, for users of YAML configs and of ``DefaultTrainer``."""

from .defaults import add_cascade_rpn_config

__all__ = ["add_cascade_rpn_config"]
