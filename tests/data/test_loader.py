"""The k-th batch is the same however it is reached."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.utils import comm

from cascade_rpn_d2.data import build_train_loader


def records(count: int = 11) -> list[dict]:
    """Landscape and portrait images in turn."""
    return [
        {"file_name": f"{i}.jpg", "number": i, "width": 4 + i % 2, "height": 5 - i % 2}
        for i in range(count)
    ]


def random_mapper(record: dict) -> dict:
    """Uses every source of randomness that an augmentation may use."""
    draws = (random.random(), float(np.random.rand()), float(torch.rand(())), random.random())
    return {"number": record["number"], "width": record["width"], "draws": draws}


def none_for_three(record: dict) -> dict | None:
    return None if record["number"] == 3 else record


def take(count: int, **kwargs) -> list[list[dict]]:
    options = {"mapper": random_mapper, "total_batch_size": 4, **kwargs}
    return list(islice(build_train_loader(options.pop("dataset", records()), **options), count))


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, world_size: int) -> None:
    monkeypatch.setattr(comm, "get_rank", lambda: rank)
    monkeypatch.setattr(comm, "get_world_size", lambda: world_size)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
@pytest.mark.parametrize("start", [0, 1, 6])
def test_batch_k_does_not_depend_on_start_or_workers(num_workers, start):
    expected = take(9)[start:]
    assert take(9 - start, start_batch=start, num_workers=num_workers) == expected


def test_far_start_is_immediate():
    batch = take(1, start_batch=10**9)[0]
    assert len(batch) == 4


def test_each_iteration_starts_anew():
    loader = build_train_loader(records(), random_mapper, 4, start_batch=2)
    assert list(islice(loader, 3)) == list(islice(loader, 3)) == take(5)[2:]


def test_seed_changes_order_and_augmentation():
    one, other = take(6), take(6, seed=1)
    assert [[s["number"] for s in b] for b in one] != [[s["number"] for s in b] for b in other]
    assert not {s["draws"] for b in one for s in b} & {s["draws"] for b in other for s in b}


def test_every_sample_has_its_own_randomness():
    samples = [sample for batch in take(12) for sample in batch]
    assert len({sample["draws"] for sample in samples}) == len(samples)
    # the sources are not seeded alike, and go on instead of repeating
    assert all(len(set(sample["draws"])) == 4 for sample in samples)


def test_random_states_of_this_process_are_left_alone():
    loader = iter(build_train_loader(records(), random_mapper, 4))
    next(loader)  # creating the iterator draws a base seed, as every DataLoader does
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    next(loader)
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected


@pytest.mark.parametrize("num_workers", [0, 2])
def test_two_processes(monkeypatch, num_workers):
    shares = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        shares.append(take(8, num_workers=num_workers))
        assert take(3, start_batch=5, num_workers=num_workers) == shares[-1][5:]
    assert all(len(batch) == 2 for share in shares for batch in share)
    draws = [sample["draws"] for share in shares for batch in share for sample in batch]
    assert len(set(draws)) == len(draws), "two processes drew the same augmentation"
    # 11 images in 5 full pairs an epoch: no image twice within the first epoch
    epoch = [batch for k in range(3) for batch in (shares[0][k], shares[1][k])][:5]
    assert len({s["number"] for batch in epoch for s in batch}) == 10


def test_batches_have_one_orientation():
    for batch in take(20):
        assert len({sample["width"] for sample in batch}) == 1
    mixed = take(20, aspect_ratio_grouping=False)
    assert any(len({sample["width"] for sample in batch}) == 2 for batch in mixed)


def test_fewer_images_than_a_batch():
    batches = take(6, dataset=records(3), total_batch_size=8)
    assert all(len(batch) == 8 for batch in batches)
    assert {sample["number"] for batch in batches for sample in batch} == {0, 1, 2}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_mapper_that_returns_none_is_named(num_workers):
    with pytest.raises(ValueError, match=r"returned None for image 3\.jpg"):
        take(9, mapper=none_for_three, num_workers=num_workers)


def test_bad_arguments(monkeypatch):
    with pytest.raises(ValueError, match="holds no image"):
        take(1, dataset=[])
    with pytest.raises(ValueError, match="start_batch"):
        take(1, start_batch=-1)
    with pytest.raises(ValueError, match=r"a\.jpg has no height .*aspect_ratio_grouping"):
        take(1, dataset=[{"file_name": "a.jpg", "width": 3}])
    as_rank(monkeypatch, 0, 3)
    with pytest.raises(ValueError, match="total_batch_size=4 cannot be shared by 3 processes"):
        take(1)
