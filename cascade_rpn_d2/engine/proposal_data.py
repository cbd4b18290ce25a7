"""Files of precomputed proposals in the data of a run: put there, and checked before it begins."""

from __future__ import annotations

from omegaconf import DictConfig

from ..data.proposal_dataset import check_proposal_files, pair_with_files
from ..data.proposal_file import require_proposal_file


def use_proposals(
    config: DictConfig, part: str, file: str | None, *, other_data: bool = False
) -> None:
    """Put a file of proposals in the place of a config's.

    Args:
        config: changed in place.
        part: ``"train"`` or ``"test"``.
        file: None leaves the config's own.
        other_data: whether the data are not the config's any more, so that its own file is not of
            them; it is then taken away.

    Raises:
        ValueError: if the config's data take no proposals.
    """
    loader = config.dataloader.get(part)
    takes = takes_proposals(loader)
    if file is not None:
        if not takes:
            raise ValueError(
                f"--{part}-proposals is given, but dataloader.{part}.dataset of the config takes "
                "no proposal_files: leave it out, or give a config of Fast R-CNN."
            )
        loader.dataset.proposal_files = [file]
    elif takes and other_data:
        loader.dataset.proposal_files = None


def check_proposals(config: DictConfig, *, training: bool) -> None:
    """Check that the files of proposals of a run are there and have the images of its datasets.

    A run that only reads its test data at its end would otherwise fail then.

    Args:
        config: a training config; one without ``proposal_files`` is left alone.
        training: whether the training data are used too.

    Raises:
        ValueError: if a file is not given or does not fit; says what to do.
        OSError: if it is not there.
    """
    data = config.dataloader
    if training and takes_proposals(data.train):
        dataset = data.train.dataset
        # Whether it has all images is seen when the loader is built, which is soon.
        for _, path in pair_with_files(dataset.names, dataset.proposal_files):
            require_proposal_file(path)
    evaluates = data.get("test") is not None and data.get("evaluator") is not None
    if evaluates and takes_proposals(data.test):
        dataset = data.test.dataset
        options = {k: dataset[k] for k in ("filter_empty",) if k in dataset}
        check_proposal_files(dataset.names, dataset.proposal_files, **options)


def takes_proposals(loader: DictConfig | None) -> bool:
    """Whether a loader's dataset is read with files of proposals."""
    dataset = None if loader is None else loader.get("dataset")
    return dataset is not None and "proposal_files" in dataset
