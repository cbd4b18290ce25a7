"""What all tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.engine.tiny_data import write_dataset

# The tensors are small: a second thread would only wait for the first.
torch.set_num_threads(1)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Data and recorded references beside the repository; tests that need them skip without."""
    path = REPOSITORY.parent / "shared"
    if not path.is_dir():
        pytest.skip("needs the folder of shared data beside the repository")
    return path


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """``images_dir:annotations.json`` of a few pictures."""
    return write_dataset(tmp_path_factory.mktemp("tiny_data"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test starts from the same random state, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """What a command changes in the loggers of Detectron2 and of ours ends with its test."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore", "cascade_rpn_d2")]
    states = [(x, x.level, x.propagate, x.handlers[:]) for x in loggers]
    yield
    for logger, level, propagate, handlers in states:
        logger.setLevel(level)
        logger.propagate, logger.handlers[:] = propagate, handlers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """GPU tests skip with a reason where there is no GPU."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)
