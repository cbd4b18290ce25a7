"""One sentence, whichever process an exception comes from."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch.multiprocessing import ProcessRaisedException, spawn
from torch.utils.data import DataLoader, Dataset

from cascade_rpn_d2.data import UnreadableImageError
from cascade_rpn_d2.engine.messages import mendable_message


class Broken(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise UnreadableImageError("Image a.jpg: cannot be read, remove it.")


def fail(rank: int, kind: type[Exception]) -> None:
    raise kind("No such key: did you mean another?")


def test_an_exception_of_this_process_is_what_it_says():
    assert mendable_message(ValueError("Give a number: 1.")) == "Give a number: 1."
    assert mendable_message(OSError(28, "No space left")) == "[Errno 28] No space left"
    assert mendable_message(RuntimeError("a bug")) is None
    assert mendable_message(KeyError("a bug")) is None


def test_a_config_of_another_form_is_one_line():
    config = OmegaConf.create({"model": {"heads": [1]}})
    with pytest.raises(OmegaConfBaseException) as caught:
        config.model.heads.classes  # noqa: B018
    message = mendable_message(caught.value)
    assert message is not None and "\n" not in message and "at model.heads[classes]" in message


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_worker_of_a_data_loader(num_workers):
    with pytest.raises(UnreadableImageError) as caught:
        next(iter(DataLoader(Broken(), num_workers=num_workers)))
    assert mendable_message(caught.value) == "Image a.jpg: cannot be read, remove it."


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [(ValueError, "No such key: did you mean another?"), (RuntimeError, None)],
)
def test_a_process_of_a_distributed_run(kind, sentence):
    with pytest.raises(ProcessRaisedException) as caught:
        spawn(fail, (kind,), nprocs=1)
    assert mendable_message(caught.value) == sentence
