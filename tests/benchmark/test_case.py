"""Cases: their combinations and what they set."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cascade_rpn_d2.benchmark import all_cases
from tests.benchmark.cases import TINY

EVERYTHING = {
    "threads": [1, 2],
    "image_sizes": [(64, 96), (32, 32)],
    "batches": [1, 2],
    "layouts": ["contiguous", "channels-last"],
    "boxes": ["trained", "spread"],
}


def test_a_cpu_is_measured_with_every_number_of_threads_in_float32():
    cases = all_cases(devices=["cpu"], dtypes=None, **EVERYTHING)
    assert len(cases) == len(set(cases)) == 2**5
    assert {case.dtype for case in cases} == {"float32"} and TINY in cases


def test_a_gpu_is_measured_once_in_every_precision():
    cases = all_cases(devices=["cuda"], dtypes=None, **EVERYTHING)
    assert len(cases) == 4 * 2**4
    assert {case.threads for case in cases} == {None}


def test_tf32_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match="tf32 is a precision of GPUs"):
        all_cases(devices=["cpu"], dtypes=["tf32"], **EVERYTHING)


def test_settings_are_put_back_whatever_happens():
    matmul = torch.backends.cuda.matmul
    before = torch.get_num_threads(), matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    case = replace(TINY, dtype="tf32", threads=before[0] + 1)
    with pytest.raises(KeyError), case.settings():
        assert torch.get_num_threads() == before[0] + 1
        assert matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
        raise KeyError
    assert before == (
        torch.get_num_threads(),
        matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
    )


def test_only_half_precision_is_mixed():
    for dtype, expected in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with replace(TINY, dtype=dtype).autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
