"""A device without a GPU: tensors that say that they are elsewhere, and refuse to be mixed with the CPU's.

What runs on a CPU alone never shows that a tensor was left behind. Here `lazy`, a device of PyTorch's that
nothing is built for, stands for a GPU: its tensors hold their numbers on the CPU, and an operation on tensors
of both devices raises, as CUDA's do. Gradients go back, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "lazy"

_aten = torch.ops.aten
_COPIES = (_aten.copy_.default, _aten._to_copy.default)
_INDEXED = (_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._unsafe_index.Tensor)
"""CUDA's take numbers of rows from the CPU."""


class Elsewhere(torch.Tensor):
    """A tensor of the pretended device."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor) -> Elsewhere:
        outer: Elsewhere = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=NAME,
            requires_grad=numbers.requires_grad,
        )
        outer.numbers = numbers
        return outer

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.numbers!r})"

    def tolist(self) -> Any:
        """As a GPU's tensors have it; what `numpy` does not do, they do not do either."""
        return self.numbers.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Device(TorchDispatchMode):
    """Makes new tensors where they are asked for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Constants(TorchFunctionMode):
    """Makes tensors of Python's numbers on the CPU first, indices too: PyTorch would not ask `_Device`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.__getitem__ and isinstance(args[1], list):
            return func(args[0], torch.tensor(args[1]))
        if func is torch.Tensor.new_tensor:
            own, *args = args
            kwargs = {"device": own.device, "dtype": own.dtype} | kwargs
            func = torch.tensor
        if func not in (torch.tensor, torch.as_tensor):
            return func(*args, **kwargs)
        device = kwargs.pop("device", None)
        made = func(*args, **kwargs)
        return made if device is None else made.to(device)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    device = kwargs.get("device")
    wanted = None if device is None else torch.device(device).type
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    is_elsewhere = any(isinstance(tensor, Elsewhere) for tensor in tensors)
    if not is_elsewhere and wanted != NAME:
        return func(*args, **kwargs)
    if func not in _COPIES:
        # An index is the second argument, a list.
        checked = tensors[:1] if func in _INDEXED and isinstance(args[0], Elsewhere) else tensors
        _refuse_mixture(func, checked)
    if wanted == NAME:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    inner_args, inner_kwargs = tree_map(_numbers, (args, kwargs))
    result = func(*inner_args, **inner_kwargs)
    if (wanted or (NAME if is_elsewhere else "cpu")) != NAME:
        # As a copy from a GPU is: memory of its own.
        return tree_map(lambda value: value.clone() if isinstance(value, torch.Tensor) else value, result)
    if func is _aten.copy_.default and not isinstance(args[0], Elsewhere):
        return args[0]
    wrapped = tree_map(lambda value: Elsewhere(value) if isinstance(value, torch.Tensor) else value, result)
    # Most operations return neither a view nor what they were given.
    if not _shares(func):
        return wrapped
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


@cache
def _shares(func: Any) -> bool:
    """Whether a result shares memory with an argument."""
    return any(result.alias_info for result in func._schema.returns)


def _numbers(value: Any) -> Any:
    return value.numbers if isinstance(value, Elsewhere) else value


def _refuse_mixture(func: Any, tensors: list[torch.Tensor]) -> None:
    """Raises where a tensor with more than one number is on the CPU beside one elsewhere."""
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.dim()]
    if here and len(here) < len(tensors):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in here)
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices: "
            f"{func} was given {shapes} on the CPU"
        )


@contextmanager
def pretended_gpu() -> Iterator[str]:
    """Yields the device's name, which code may use inside the `with` block."""
    autocast = torch.autocast

    def on_cpu(device: str, *args: Any, **kwargs: Any) -> Any:
        return autocast("cpu" if device == NAME else device, *args, **kwargs)

    # Tensors of inference mode have no versions, which views of these tensors need.
    inference = patch.object(torch._C, "_InferenceMode", lambda mode: torch.set_grad_enabled(not mode))
    with _Device(), _Constants(), inference, patch.object(torch, "autocast", on_cpu):
        yield NAME
