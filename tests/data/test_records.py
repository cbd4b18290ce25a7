"""A dataset that is looked at before it is loaded is read once."""

from __future__ import annotations

import pytest
from detectron2.data import DatasetCatalog

from cascade_rpn_d2.data.records import read_ahead


@pytest.fixture
def reads():
    """Counts how often the dataset ``counted`` is read."""
    count = []

    def read():
        count.append(1)
        return [{"image_id": 1, "annotations": []}]

    DatasetCatalog.register("counted", read)
    yield count
    DatasetCatalog.remove("counted")


def test_what_is_read_ahead_is_given_to_the_next_reader_only(reads):
    ahead = read_ahead("counted")
    given = DatasetCatalog.get("counted")
    assert given == ahead and len(reads) == 1
    given[0]["changed"] = True
    assert "changed" not in DatasetCatalog.get("counted")[0] and len(reads) == 2


def test_two_looks_are_one_reading(reads):
    assert read_ahead("counted") is read_ahead("counted")
    DatasetCatalog.get("counted")
    assert len(reads) == 1


def test_a_dataset_that_cannot_be_read_stays_as_it_is(reads):
    with pytest.raises(KeyError, match="not registered"):
        read_ahead("absent")
    assert "absent" not in DatasetCatalog.list()
