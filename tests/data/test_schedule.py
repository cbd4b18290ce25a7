"""Which image is in which batch."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_rpn_d2.data.schedule import BatchSchedule, group_by_aspect_ratio

GROUPS = st.tuples(st.integers(0, 30), st.integers(1, 30)).map(
    lambda sizes: [list(range(sizes[0])), list(range(sizes[0], sum(sizes)))]
)


def reference(schedule: BatchSchedule, count: int) -> list[list[int]]:
    """The first batches, found by walking through the epochs one by one."""
    batches: list[list[int]] = []
    epoch = 0
    while len(batches) < count:
        for group, first in schedule._shuffled_epoch(epoch):
            images = schedule.groups[group]
            batch = []
            for position in range(first, first + schedule.batch_size):
                order = schedule._shuffled_pass(int(group), position // len(images))
                batch.append(int(order[position % len(images)]))
            batches.append(batch)
        epoch += 1
    return batches[:count]


@given(groups=GROUPS, batch_size=st.integers(1, 12), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_index_arithmetic_equals_walking_through_all_epochs(groups, batch_size, seed):
    schedule = BatchSchedule(groups, batch_size, seed)
    assert [schedule.batch(k) for k in range(40)] == reference(schedule, 40)


@given(groups=GROUPS, batch_size=st.integers(1, 12), start=st.integers(0, 10**7))
@settings(max_examples=40, deadline=None)
def test_any_batch_is_reached_directly(groups, batch_size, start):
    schedule = BatchSchedule(groups, batch_size)
    batch = schedule.batch(start)
    assert len(batch) == batch_size
    assert list(islice(schedule.from_batch(start), 2)) == [batch, schedule.batch(start + 1)]


@given(groups=GROUPS, batch_size=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_a_batch_never_mixes_groups(groups, batch_size):
    schedule = BatchSchedule(groups, batch_size)
    for k in range(30):
        batch = set(schedule.batch(k))
        assert batch <= set(groups[0]) or batch <= set(groups[1])


def test_every_image_is_seen_equally_often_and_none_is_lost():
    groups = [list(range(7)), list(range(7, 20))]
    schedule = BatchSchedule(groups, batch_size=4)
    # After 4 epochs of 20 images in batches of 4, both streams have ended a pass exactly.
    seen = Counter(i for k in range(20) for i in schedule.batch(k))
    assert seen == dict.fromkeys(range(20), 4)


def test_one_group_is_seen_once_an_epoch():
    schedule = BatchSchedule([range(24)], batch_size=6)
    for epoch in range(3):
        seen = [i for k in range(4) for i in schedule.batch(4 * epoch + k)]
        assert sorted(seen) == list(range(24))


def test_epochs_and_seeds_differ_and_groups_are_shuffled_into_each_other():
    groups = [list(range(32)), list(range(32, 64))]
    schedule = BatchSchedule(groups, batch_size=4)
    first, second = ([schedule.batch(k) for k in range(e, e + 16)] for e in (0, 16))
    assert first != second
    assert first != [BatchSchedule(groups, 4, seed=1).batch(k) for k in range(16)]
    kinds = [batch[0] < 32 for batch in first]
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)


def test_processes_share_an_epoch_without_overlap():
    shares = [BatchSchedule([range(24)], 3, 0, rank, world_size=4) for rank in range(4)]
    seen = [i for k in range(2) for share in shares for i in share.batch(k)]
    assert sorted(seen) == list(range(24))
    # together they walk the very schedule of a single process
    single = BatchSchedule([range(24)], 3)
    assert [s.batch(5) for s in shares] == [single.batch(4 * 5 + r) for r in range(4)]


def test_fewer_images_than_a_batch():
    schedule = BatchSchedule([[0, 1, 2]], batch_size=8)
    for k in range(9):
        counts = Counter(schedule.batch(k))
        assert set(counts) == {0, 1, 2} and max(counts.values()) <= 4


def test_survives_pickling_as_spawned_workers_need():
    schedule = BatchSchedule([range(9)], 2, 3)
    schedule.batch(4)
    assert pickle.loads(pickle.dumps(schedule)).batch(11) == schedule.batch(11)


def test_bad_numbers_say_what_is_wrong():
    with pytest.raises(ValueError, match="holds no image"):
        BatchSchedule([[], []], 2)
    with pytest.raises(ValueError, match="at least one image"):
        BatchSchedule([[1]], 0)
    with pytest.raises(ValueError, match="seed"):
        BatchSchedule([[1]], 1, seed=-1)


def test_group_by_aspect_ratio():
    sizes = [(4, 3), (3, 4), (3, 3), (5, 1)]
    assert group_by_aspect_ratio(sizes) == [[0, 3], [1, 2]]
