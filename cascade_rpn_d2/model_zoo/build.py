"""Names of configs -> models, and -> yacs configs for Detectron2's ``DefaultPredictor``."""

from __future__ import annotations

import os

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import MetadataCatalog
from omegaconf import ListConfig, OmegaConf
from torch import nn

from ..checkpoint import Checkpointer
from ..config.files import get_config, get_config_file
from .checkpoints import get_checkpoint_file, has_checkpoint
from .input_format import InputFormat, require_images_suffice
from .lazy_model import instantiate_model


def get(
    name: str,
    trained: bool = False,
    device: str | torch.device | None = None,
    *,
    trust_config: bool = False,
) -> nn.Module:
    """A model of the zoo in evaluation mode.

    Args:
        name: a name or path as for :func:`~cascade_rpn_d2.model_zoo.get_config_file`.
        trained: with the zoo's trained weights, instead of those the model is built with.
        device: where to put it; a GPU if there is one by default.
        trust_config: as of :func:`~cascade_rpn_d2.model_zoo.get_config`.

    Raises:
        ValueError: if there is no such config, it is not trusted, or there are no trained weights
            for it.
    """
    model = instantiate_model(get_config(name, trust_config=trust_config), str(name))
    if trained:
        Checkpointer(model).load(get_checkpoint_file(name), checkpointables=[])
    return model.to(choose_device(device)).eval()


def get_predictor_cfg(
    name: str, weights: str | os.PathLike[str] | None = None, *, trust_config: bool = False
) -> CfgNode:
    """A yacs config with which an unmodified ``DefaultPredictor`` serves a LazyConfig::

        cfg = get_predictor_cfg("demo/cascade_rpn.py")
        outputs = DefaultPredictor(cfg)(cv2.imread("photo.jpg"))

    Image format and size are those of the config's test loader, but that ``DefaultPredictor``
    resizes with Pillow where the config does with OpenCV; the names of classes are those of
    ``train.categories``, which a run on data from the command line states, or of the test data.

    Args:
        name: a name or path as for :func:`~cascade_rpn_d2.model_zoo.get_config_file`.
        weights: file or URL of the weights; those of the zoo by default.
        trust_config: as of :func:`~cascade_rpn_d2.model_zoo.get_config`, for the predictor too.

    Raises:
        ValueError: if there is no such config, if it is not trusted, if its test mapper does more
            than one resize, if its model needs precomputed proposals, or if no weights are given
            and the zoo has none: random ones would be of no use to anyone.
        FileNotFoundError: if there is no file of weights at the given path.
    """
    file = get_config_file(name)
    config = get_config(file, trust_config=trust_config)
    require_images_suffice(config, name)
    inputs = InputFormat.from_config(config)
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "LazyModel"
    cfg.MODEL.LAZY_CONFIG = file
    cfg.MODEL.TRUST_LAZY_CONFIG = trust_config
    cfg.MODEL.WEIGHTS = find_weights(file, weights)
    cfg.MODEL.DEVICE = str(choose_device())
    cfg.INPUT.FORMAT = inputs.image_format
    cfg.INPUT.MIN_SIZE_TEST = inputs.min_size
    cfg.INPUT.MAX_SIZE_TEST = inputs.max_size
    cfg.DATASETS.TEST = inputs.datasets
    categories = OmegaConf.select(config, "train.categories")
    if categories:
        # A run on data of the user's own, whose dataset this process need not know.
        cfg.DATASETS.TEST = (_register_categories(file, categories),)
    return cfg


def _register_categories(name: str, categories: ListConfig) -> str:
    """Register the metadata of a dataset with these categories, which has no data."""
    if name in MetadataCatalog.list():
        MetadataCatalog.remove(name)
    MetadataCatalog.get(name).set(
        thing_classes=[c.name for c in categories],
        thing_dataset_id_to_contiguous_id={c.id: i for i, c in enumerate(categories)},
    )
    return name


def find_weights(name: str, weights: str | os.PathLike[str] | None = None) -> str:
    """Path or URL of the weights to use with a config: those given, else those of the zoo.

    Raises:
        ValueError: if none are given and the zoo has none.
        FileNotFoundError: if there is no file at the given path.
    """
    if weights is None:
        if not has_checkpoint(name):
            raise ValueError(
                f"The zoo has no trained weights for '{name}': give the file of weights to use "
                "(`cascade-rpn train` writes model_final.pth)."
            )
        return get_checkpoint_file(name)
    text = os.fspath(weights)
    if "://" not in text and not os.path.isfile(text.partition("?")[0]):
        raise FileNotFoundError(f"There is no file of weights at '{text}'.")
    return text


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for; by default a GPU if there is one, else the CPU.

    Raises:
        ValueError: if there is no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    # RuntimeError for most, but torch without CUDA fails an assertion instead.
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"The device '{device}' cannot be used here: give cpu, or cuda where there is a GPU."
        ) from error
    return chosen
