from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings

import pytest
import torch

from cascade_rpn_d2.layers import _library, adaptive_conv2d, deform_conv2d


@pytest.fixture
def absent(monkeypatch):
    """As if the compiled library were not there."""
    monkeypatch.setattr(_library, "_kernel_devices", frozenset())
    monkeypatch.setattr(_library, "_why_not_loaded", "it is absent (build it)")
    monkeypatch.setattr(_library, "_warned", False)


def raising(error: Exception):
    def import_module(name):
        raise error

    return import_module


def test_library_is_compiled():
    if os.environ.get("CASCADE_RPN_COMPILE") != "1" and "absent" in str(_library._why_not_loaded):
        pytest.skip("the library was not compiled, which CASCADE_RPN_COMPILE=1 makes an error")
    assert _library.is_compiled(), _library._why_not_loaded


def test_absent_library_is_explained(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", raising(ModuleNotFoundError("no _C")))
    assert f"absent ({_library._rebuild()})" in _library._load()


def test_library_that_does_not_load_is_explained(monkeypatch):
    error = ImportError("_C.abi3.so: undefined symbol: _ZN2at")
    monkeypatch.setattr(importlib, "import_module", raising(error))
    reason = _library._load()
    assert "could not be loaded: _C.abi3.so: undefined symbol" in reason
    assert reason.endswith(f"({_library._rebuild()})")


def test_library_of_another_torch_is_explained(monkeypatch):
    if not _library.is_compiled():
        pytest.skip("the compiled library is absent")
    built_for = torch.ops.cascade_rpn_d2.built_for_torch()
    assert built_for == torch.__version__.split("+")[0]
    monkeypatch.setattr(torch, "__version__", "99.1.0")
    reason = _library._load()
    assert reason == (
        f"the compiled library was built for torch {built_for}, not 99.1.0 ({_library._rebuild()})"
    )


def test_how_to_rebuild_in_a_checkout(repository):
    assert _library._rebuild() == (
        "run `CASCADE_RPN_COMPILE=1 pip install --no-build-isolation --no-deps --editable "
        f"{repository}` to build it for this torch"
    )


def test_how_to_rebuild_where_a_wheel_was_installed(monkeypatch):
    monkeypatch.setattr(_library, "__file__", "/site-packages/cascade_rpn_d2/layers/_library.py")
    assert _library._rebuild() == (
        "run `CASCADE_RPN_COMPILE=1 pip install --no-build-isolation --no-deps --force-reinstall "
        "SOURCE` to build it for this torch, where SOURCE is the repository of cascade_rpn_d2 or "
        "its sdist"
    )


def test_one_warning_at_the_first_use(absent):
    x, weight = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adaptive_conv2d(x, torch.zeros(1, 16, 4), weight, stride=4)
        deform_conv2d(x, torch.zeros(1, 18, 4, 4), weight, padding=1)
    messages = [str(w.message) for w in caught if "cascade_rpn_d2" in str(w.message)]
    assert messages == [
        "cascade_rpn_d2 runs its operators on a slower pure-torch fallback because it is absent "
        "(build it)."
    ]
    assert [w.filename for w in caught if "cascade_rpn_d2" in str(w.message)] == [__file__]


def test_device_without_kernels_is_named(monkeypatch):
    if not _library.is_compiled():
        pytest.skip("the compiled library is absent")
    monkeypatch.setattr(_library, "_warned", False)
    with pytest.warns(UserWarning, match="no kernels for mps tensors"):
        assert not _library.has_kernel(torch.device("mps"))


def test_fallback_compiles_whole(absent):
    torch._dynamo.reset()
    x = torch.randn(1, 2, 4, 5, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, requires_grad=True)
    boxes = torch.rand(1, 20, 4) * 16

    def step(x, weight):
        return adaptive_conv2d(x, boxes, weight, stride=4).square().sum()

    loss = torch.compile(step, fullgraph=True, backend="aot_eager")(x, weight)
    for a, b in zip(
        torch.autograd.grad(loss, (x, weight)),
        torch.autograd.grad(step(x, weight), (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
def test_package_works_without_the_library():
    program = """
import sys
sys.modules["cascade_rpn_d2._C"] = None  # importing it now raises ModuleNotFoundError
import torch
from cascade_rpn_d2.layers import AdaptiveConv2d, _library
assert not _library.is_compiled()
conv = AdaptiveConv2d(2, 3)
conv(torch.randn(1, 2, 4, 4), torch.zeros(1, 16, 4), 4).sum().backward()
assert conv.weight.grad is not None
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("slower pure-torch fallback") == 1
