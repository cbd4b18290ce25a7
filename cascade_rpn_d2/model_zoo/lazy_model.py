"""``LazyModel``: the meta-architecture that lets a yacs config name a LazyConfig.

With ``MODEL.META_ARCHITECTURE = "LazyModel"`` and ``MODEL.LAZY_CONFIG`` set to the name or path of
a LazyConfig, Detectron2's ``build_model`` builds the model of that file, so an unmodified
``DefaultPredictor`` serves every lazy config. ``MODEL.TRUST_LAZY_CONFIG = True`` trusts one in YAML
to name what no config of the zoo does.
"""

from __future__ import annotations

from urllib.parse import urlparse

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from omegaconf import DictConfig, OmegaConf, SCMode
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from ..config.build import build_part
from ..config.files import get_config
from ..files.download import local_path
from ..files.pickles import read_pickle


@META_ARCH_REGISTRY.register()
def LazyModel(cfg: CfgNode) -> nn.Module:
    """The model of the LazyConfig that a yacs config names.

    Args:
        cfg: a yacs config with ``MODEL.LAZY_CONFIG``, the name or path of a LazyConfig, and
            perhaps ``MODEL.TRUST_LAZY_CONFIG``, ``trust_config`` of
            :func:`~cascade_rpn_d2.model_zoo.get_config`.

    Raises:
        ValueError: if ``MODEL.LAZY_CONFIG`` is missing, or is no config, or one without a model, or
            is not trusted; or if ``MODEL.WEIGHTS`` is a pickle of anything but arrays.
        OSError: if that cannot be read or downloaded.
    """
    # Detectron2's own checkpointer comes next, finds the file so, and runs whatever a pickle names.
    weights = local_path(urlparse(cfg.MODEL.WEIGHTS)._replace(query="").geturl())
    if weights.endswith(".pkl"):
        read_pickle(weights)
    name = cfg.MODEL.get("LAZY_CONFIG")
    if not name:
        raise ValueError(
            "MODEL.LAZY_CONFIG must be the name or path of a LazyConfig when "
            "MODEL.META_ARCHITECTURE is LazyModel; model_zoo.get_predictor_cfg sets both."
        )
    trust = cfg.MODEL.get("TRUST_LAZY_CONFIG", False) is True
    return instantiate_model(get_config(name, trust_config=trust), name)


def instantiate_model(config: DictConfig, name: str = "The config") -> nn.Module:
    """The model that a loaded LazyConfig describes, with its initial weights, on the CPU.

    Sequences reach constructors as lists rather than as ``ListConfig``, which TorchScript and
    ``isinstance`` checks do not take for lists.

    Args:
        config: a LazyConfig with ``model`` at its top.
        name: how to call the config in an error message.

    Raises:
        ValueError: if the config has no ``model``, or one that cannot be built.
    """
    if not isinstance(config, DictConfig) or not OmegaConf.is_dict(config.get("model")):
        raise ValueError(
            f"{name} has no `model` at its top, as a LazyConfig must have here: for a yacs config "
            "use Detectron2's get_cfg and DefaultPredictor."
        )
    try:
        plain = OmegaConf.to_container(
            config.model, resolve=True, structured_config_mode=SCMode.INSTANTIATE
        )
    except (OmegaConfBaseException, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"The model of {name} cannot be built ({reason}): change it.") from error
    return build_part(plain, "model", nn.Module)
