"""Why a file could not be loaded."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from cascade_rpn_d2.checkpoint.reasons import why_not_loaded


def test_first_line_or_the_kind_of_error():
    assert why_not_loaded(ValueError("one.\ntwo")) == "one"
    assert why_not_loaded(EOFError()) == "EOFError"


def test_no_advice_to_read_unsafely(tmp_path: Path):
    file = tmp_path / "weights.pkl"
    file.write_bytes(pickle.dumps({"model": {"a": Path()}}))
    with pytest.raises(Exception, match="weights_only") as caught:
        torch.load(file, weights_only=True)
    assert "weights_only" not in why_not_loaded(caught.value)
