"""Which files count as pickles; their contents are tested with the whole file."""

from __future__ import annotations

import pickle

import pytest

from cascade_rpn_d2.data.proposal_pickle import is_pickle


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("p.pkl", b"", True),
        ("p.pickle", b"PK", True),
        ("p.npz", pickle.dumps({}), True),
        ("p.npz", b"PK\x03\x04", False),
        ("p.npz", b"", False),
    ],
)
def test_a_pickle_is_known_by_its_name_or_its_first_byte(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    assert is_pickle(tmp_path / name) is expected
