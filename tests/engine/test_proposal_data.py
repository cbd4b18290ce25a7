"""Files of proposals in a config; what a run says of them is in the tests of setup and dump."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from cascade_rpn_d2.engine.proposal_data import check_proposals, use_proposals


@pytest.fixture
def config(tmp_path):
    """Takes proposals in training alone."""
    (tmp_path / "p.npz").touch()
    file = str(tmp_path / "p.npz")
    train = {"dataset": {"names": "a", "proposal_files": [file]}}
    return OmegaConf.create({"dataloader": {"train": train, "test": {"dataset": {"names": "b"}}}})


def test_a_file_takes_the_place_of_the_configs(config):
    use_proposals(config, "train", None)
    assert len(config.dataloader.train.dataset.proposal_files) == 1
    use_proposals(config, "train", "mine.npz", other_data=True)
    assert list(config.dataloader.train.dataset.proposal_files) == ["mine.npz"]


def test_data_without_proposals_are_left_alone(config):
    use_proposals(config, "test", None, other_data=True)
    assert "proposal_files" not in config.dataloader.test.dataset
    config.dataloader.evaluator = {"dataset_name": "b"}
    check_proposals(config, training=True)
    del config.dataloader.test
    use_proposals(config, "test", None, other_data=True)
    check_proposals(config, training=True)


def test_training_files_count_in_training_alone(config, tmp_path):
    (tmp_path / "p.npz").unlink()
    check_proposals(config, training=False)
    with pytest.raises(FileNotFoundError, match="no file of proposals"):
        check_proposals(config, training=True)
