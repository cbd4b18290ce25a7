from __future__ import annotations

import pytest

from cascade_rpn_d2.engine import processes
from cascade_rpn_d2.engine.processes import of_main_process


def test_one_process_is_the_main_one():
    assert of_main_process(lambda: 3) == 3
    with pytest.raises(OSError, match="no space"):
        of_main_process(_fail)


def test_another_process_gets_what_the_main_one_found_and_does_not_call(monkeypatch):
    monkeypatch.setattr(processes.comm, "is_main_process", lambda: False)
    for outcome in (5, None), (None, OSError("no space")):
        monkeypatch.setattr(processes.comm, "all_gather", lambda own, o=outcome: [o, own])
        if outcome[1] is None:
            assert of_main_process(pytest.fail) == 5
        else:
            with pytest.raises(OSError, match="no space"):
                of_main_process(pytest.fail)


def _fail():
    raise OSError("no space")
