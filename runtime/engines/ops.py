"""Loads the operators pack, conv3x3, run_part and run_network (bnn::) into torch, with shape rules.

The operators are thin: they check, allocate and call the C ABI (csrc/torch/torch_binding.cpp).
Words are int32 here, for want of a full uint32 in torch; the bits are the same.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from runtime.errors import NativeUnavailable, TorchUnavailable
from runtime.kernels import library
from runtime.kernels.installed import IS_SOURCE_TREE, REBUILD, advise_extra, is_absent

OPERATORS = f"libbnn_torch{library.SUFFIX}"
ABSENCE_RECORD = "libbnn_torch.txt"  # why the build left the operators out; written by CMake


def find_operators() -> Path:
    """The operators' library file, with its kernel library loaded.

    Raises TorchUnavailable with every searched place, and the reason if the build left them out.
    """
    try:
        library.load_library()  # the operators use the same one, and so the same implementation
        return library.find_file(OPERATORS)
    except NativeUnavailable as error:
        left_out = _recorded_absence()
        installed = not left_out and importlib.util.find_spec("torch") is not None
        raise TorchUnavailable(f"{error}{left_out}", installed=installed) from error


def _recorded_absence() -> str:
    try:
        reason = library.find_file(ABSENCE_RECORD).read_text().strip()
    except NativeUnavailable:
        return ""  # no build left a record: the message has said that nothing was found
    if not reason:
        return ""
    remedy = (
        ""
        if IS_SOURCE_TREE
        else " Where torch is installed, build from the source distribution instead: "
        "pip install --no-build-isolation --no-binary bnn-service --force-reinstall bnn-service"
    )
    return f" The build left the torch operators out: {reason}.{remedy}"


find_operators()  # before torch, whose 200 MB would be in memory for nothing

try:
    import torch
    from torch import Tensor
except (ImportError, OSError) as error:  # OSError: one of torch's own libraries does not load
    raise TorchUnavailable(
        f"expected the package torch >= 2.10, found {error}. Install it: {advise_extra('torch')}",
        installed=not is_absent(error, "torch"),
    ) from error


@functools.cache
def load_operators() -> Path:
    """Registers the operators in this process, once; returns the path of their library.

    Raises TorchUnavailable.
    """
    path = find_operators()
    try:
        torch.ops.load_library(str(path))
    except (OSError, RuntimeError) as error:
        raise TorchUnavailable(
            f"expected operators for torch {torch.__version__}, but {path} does not load: {error}. "
            f"They need torch >= 2.10. {REBUILD}"
        ) from error
    _register_shapes()
    return path


def _register_shapes() -> None:
    """Shape rules ("fake kernels") for tracing and torch.export."""
    torch.library.register_fake("bnn::pack", _pack_shape)
    torch.library.register_fake("bnn::conv3x3", _conv3x3_shape)
    torch.library.register_fake("bnn::run_part", _run_part_shape)
    torch.library.register_fake("bnn::run_network", _run_network_shape)


def _check_tensor(what: str, tensor: Tensor, dtype: torch.dtype, dimensions: int | None) -> None:
    torch._check(
        tensor.dtype == dtype, lambda: f"bnn::{what}: expected dtype {dtype}, found {tensor.dtype}"
    )
    torch._check(
        dimensions is None or tensor.dim() == dimensions,
        lambda: f"bnn::{what}: expected {dimensions} dimensions, found {list(tensor.shape)}",
    )


def _pack_shape(x: Tensor, threshold: Tensor, flip: Tensor) -> Tensor:
    _check_tensor("pack: x", x, torch.float32, None)
    _check_tensor("pack: threshold", threshold, torch.float32, 1)
    _check_tensor("pack: flip", flip, torch.int32, 1)
    channels = threshold.shape[0]
    torch._check(
        x.dim() > 0
        and x.shape[-1] == channels
        and channels % 32 == 0
        and flip.shape[0] == channels // 32,
        lambda: (
            "bnn::pack: expected x [..., C], threshold [C], flip [C / 32], C a multiple of 32, "
            f"found {list(x.shape)}, {list(threshold.shape)}, {list(flip.shape)}"
        ),
    )
    return x.new_empty((*x.shape[:-1], channels // 32), dtype=torch.int32)


def _conv3x3_shape(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    _check_tensor("conv3x3: x", x, torch.int32, 4)
    _check_tensor("conv3x3: weight", weight, torch.int32, 4)
    torch._check(
        tuple(weight.shape[1:]) == (3, 3, x.shape[3]),
        lambda: (
            f"bnn::conv3x3: expected weight [O, 3, 3, {x.shape[3]}] for x {list(x.shape)}, "
            f"found {list(weight.shape)}"
        ),
    )
    torch._check(
        padding in (-1, 0, 1), lambda: f"bnn::conv3x3: expected padding -1, 0 or 1, found {padding}"
    )
    return x.new_empty((*x.shape[:3], weight.shape[0]), dtype=torch.int32)


def _run_part_shape(x: Tensor, part: Tensor, output: list[int]) -> Tensor:
    _check_tensor("run_part: x", x, torch.float32, 4)
    _check_tensor("run_part: part", part, torch.uint8, 1)
    torch._check(
        len(output) in (1, 3),
        lambda: f"bnn::run_part: expected output [C, H, W] or [classes], found {output}",
    )
    return x.new_empty((x.shape[0], *output))


def _run_network_shape(x: Tensor, parts: list[Tensor], output: list[int]) -> Tensor:
    torch._check(len(parts) > 0, lambda: "bnn::run_network: expected prepared parts, found none")
    return _run_part_shape(x, parts[0], output)
