"""Finding the compiled kernels, or doing without them.

The kernels live in ``cascade_rpn_d2/_C.abi3.so`` and register themselves as
``torch.ops.cascade_rpn_d2.*`` when that library is loaded, which happens when this module is
imported. Where there is no usable library (or it was built without CUDA and the tensor is on a GPU)
the operators run on the pure-torch fallback of :mod:`cascade_rpn_d2.layers._fallback`; the first
such call says so in one warning.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual


def _rebuild() -> str:
    """How to build the library for this torch: in place in a checkout, else from the sources."""
    command = "CASCADE_RPN_COMPILE=1 pip install --no-build-isolation --no-deps"
    checkout = Path(__file__).parents[2]
    if (checkout / "setup.py").is_file():
        return f"run `{command} --editable {checkout}` to build it for this torch"
    return (
        f"run `{command} --force-reinstall SOURCE` to build it for this torch, where SOURCE is the "
        "repository of cascade_rpn_d2 or its sdist"
    )


def _load() -> str | None:
    """Loads the compiled library; returns None on success, else the reason in one clause."""
    try:
        importlib.import_module("cascade_rpn_d2._C")
    except ModuleNotFoundError:
        return f"the compiled library cascade_rpn_d2/_C is absent ({_rebuild()})"
    except ImportError as error:
        return f"the compiled library could not be loaded: {error} ({_rebuild()})"
    built_for = torch.ops.cascade_rpn_d2.built_for_torch()
    # Minor releases change the C++ interface of torch; patch releases do not.
    if built_for.split(".")[:2] != torch.__version__.split(".")[:2]:
        return (
            f"the compiled library was built for torch {built_for}, not {torch.__version__} "
            f"({_rebuild()})"
        )
    return None


_why_not_loaded = _load()
_kernel_devices = frozenset(
    ()
    if _why_not_loaded is not None
    else ("cpu", "cuda")
    if torch.ops.cascade_rpn_d2.built_with_cuda()
    else ("cpu",)
)
_warned = False


def is_compiled() -> bool:
    """Whether the compiled library is loaded (its operators and their schemas exist)."""
    return _why_not_loaded is None


def is_compiled_for(device: torch.device) -> bool:
    """Whether there are compiled kernels for a device; never warns."""
    return device.type in _kernel_devices


def has_kernel(device: torch.device) -> bool:
    """Whether tensors on ``device`` run on compiled kernels; warns at the first that does not."""
    if is_compiled_for(device) or (is_compiled() and device.type == "meta"):
        return True
    _warn_once(device.type)
    return False


def has_tangent(*tensors: Tensor | None) -> bool:
    """Whether a tensor carries a derivative in forward mode (``torch.func.jvp``).

    Kernels know none and would drop it without a word; pure torch has it.
    """
    if torch.compiler.is_compiling():  # which does not take such tensors
        return False
    return any(t is not None and unpack_dual(t).tangent is not None for t in tensors)


def forbid_forward_mode(name: str, grad_output: Tensor) -> None:
    """Makes a derivative in forward mode of the gradients of ``name`` an error.

    Raises:
        NotImplementedError: if the gradient of the output carries one.
    """
    if has_tangent(grad_output):
        raise NotImplementedError(
            f"The gradients of {name} have no forward-mode derivative; call backward with "
            "gradients that are no dual tensors."
        )


def _warn_once(device_type: str) -> None:
    global _warned
    if _warned or torch.compiler.is_compiling():
        return
    _warned = True
    reason = _why_not_loaded or f"the compiled library has no kernels for {device_type} tensors"
    warnings.warn(
        f"cascade_rpn_d2 runs its operators on a slower pure-torch fallback because {reason}.",
        stacklevel=4,
    )


def memory_format_of(input: Tensor) -> torch.memory_format:
    """The layout of an output: channels_last for an input laid out so, else contiguous."""
    # Maps of one channel or one pixel are both at once; they count as contiguous.
    if not input.is_contiguous() and input.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def empty_gradient(tensor: Tensor, needed: bool) -> Tensor:
    """What a backward kernel returns for ``tensor``, without values; no elements if not needed."""
    if not needed:
        return tensor.new_empty(0)
    return torch.empty_like(tensor, memory_format=memory_format_of(tensor))


def bias_gradient(grad_output: Tensor, mask: Tensor | None) -> Tensor:
    """Gradient (O,) of the bias: that of the output (N, O, Ho, Wo), over the evaluated cells."""
    if mask is not None:
        grad_output = grad_output.masked_fill(~mask[:, None], 0)
    return grad_output.sum((0, 2, 3))


def forbid_double_backward(name: str) -> None:
    """Makes a gradient of the gradients of ``name`` an error instead of a silent zero."""

    def backward(ctx, *grad_outputs):
        raise NotImplementedError(
            f"{name} has no second derivative; call backward without create_graph=True."
        )

    torch.library.register_autograd(f"cascade_rpn_d2::{name}_backward", backward)
