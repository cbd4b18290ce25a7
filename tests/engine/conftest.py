"""The tiny training run that the tests of this folder vary."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from cascade_rpn_d2.engine import setup_config
from tests.engine.tiny_data import write_dataset
from tests.engine.tiny_models import tiny_config_file

TINY_CONFIG = str(Path(__file__).with_name("tiny_config.py"))


@pytest.fixture
def tiny_config(tiny_data: str, tmp_path: Path) -> Callable[..., DictConfig]:
    """Makes configs of runs into folders of the test: ``tiny_config("folder", "key=value")``."""

    def make(folder: str, *overrides: str) -> DictConfig:
        return setup_config(
            TINY_CONFIG,
            overrides,
            train_data=tiny_data,
            test_data=tiny_data,
            output_dir=str(tmp_path / folder),
        )

    return make


@pytest.fixture
def tiny_detector(tmp_path) -> Callable[..., DictConfig]:
    """Makes configs of the tiny detector on images of its own: ``tiny_detector("x", ("cat",))``."""

    def make(folder: str, classes: tuple[str, ...], *overrides: str) -> DictConfig:
        data = write_dataset(tmp_path / folder / "data", classes=classes)
        config = setup_config(
            tiny_config_file("tiny_faster_rcnn_run"),
            overrides,
            train_data=data,
            test_data=data,
            output_dir=str(tmp_path / folder / "out"),
            device="cpu",
        )
        config.dataloader.evaluator._target_ = "cascade_rpn_d2.evaluation.DetectionEvaluator"
        return config

    return make


@pytest.fixture(autouse=True)
def _clean_up_after_runs() -> Iterator[None]:
    """One thread for such small tensors; no logging to a standard output that pytest has closed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for name in ("detectron2", "fvcore", "cascade_rpn_d2"):
        logging.getLogger(name).handlers.clear()
