"""Hooks on all modules and modes in torch: functions that run at every call, whoever makes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

Values = Mapping[str, Any]

HOOKS = "torch's hooks on all modules"
FUNCTION_MODES = "torch's function modes"
DISPATCH_MODES = "torch's dispatch modes"


@contextmanager
def reading_without_modes() -> Iterator[None]:
    """Lets no mode see what is read meanwhile: a mode of a plugin may change it or fail."""
    if not _has_modes():
        yield
        return
    torch: Any = sys.modules["torch"]
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        yield


@contextmanager
def writing_without_modes(wanted: Values) -> Iterator[None]:
    """Takes modes off while settings are written, and puts those that are wanted in place.

    Args:
        wanted: settings; the present modes stay where it has none.
    """
    if not _has_modes():
        yield
        return
    present = read_modes()
    # torch's own switch for it would put back what is written meanwhile, autocast for one.
    write_modes({FUNCTION_MODES: (), DISPATCH_MODES: ()})
    try:
        yield
    finally:
        write_modes({label: wanted.get(label, value) for label, value in present.items()})


def _has_modes() -> bool:
    """Says whether modes can have been entered: torch has been imported to its end."""
    return all(hasattr(sys.modules.get(name), function) for name, function in _STACKS.items())


_STACKS = {
    "torch.overrides": "_get_current_function_mode_stack",
    "torch.utils._python_dispatch": "_get_current_dispatch_mode_stack",
}


def read_hooks() -> Values:
    """Returns the hooks that `torch.nn.modules.module.register_module_...` sets, by kind."""
    module = sys.modules["torch.nn.modules.module"]
    kinds = []
    for name in _kinds_of_hooks():
        value = getattr(module, name)
        kinds.append((name, tuple(value.items()) if isinstance(value, dict) else value))
    return {HOOKS: tuple(kinds)}


@cache
def _kinds_of_hooks() -> tuple[str, ...]:
    names = vars(sys.modules["torch.nn.modules.module"])
    return tuple(name for name in names if name.startswith("_global_"))


def write_hooks(values: Values) -> None:
    """Puts hooks in place."""
    module = sys.modules["torch.nn.modules.module"]
    for kinds in values.values():
        for name, value in kinds:
            present = getattr(module, name)
            if isinstance(present, dict):
                # In place: handles that remove a hook refer to the same dictionary.
                present.clear()
                present.update(value)
            else:
                setattr(module, name, value)


def read_modes() -> Values:
    """Returns the modes that have been entered, the outermost first.

    The default device is a function mode, too; it is among the settings of torch.
    """
    overrides: Any = sys.modules["torch.overrides"]
    dispatch: Any = sys.modules["torch.utils._python_dispatch"]
    functions = [mode for mode in overrides._get_current_function_mode_stack() if not _is_device(mode)]
    return {
        FUNCTION_MODES: tuple(functions),
        DISPATCH_MODES: tuple(dispatch._get_current_dispatch_mode_stack()),
    }


def write_modes(values: Values) -> None:
    """Leaves and enters modes, without their own code for it: a plugin's may fail."""
    if FUNCTION_MODES in values:
        devices = [mode for mode in _take_function_modes() if _is_device(mode)]
        for mode in (*devices, *values[FUNCTION_MODES]):
            sys.modules["torch.overrides"]._push_mode(mode)
    if DISPATCH_MODES in values:
        dispatch: Any = sys.modules["torch.utils._python_dispatch"]
        for mode in reversed(dispatch._get_current_dispatch_mode_stack()):
            dispatch.TorchDispatchMode.__exit__(mode, None, None, None)
        for mode in values[DISPATCH_MODES]:
            dispatch.TorchDispatchMode.__enter__(mode)


def default_device() -> Any:
    """The default device, without asking torch, which makes a tensor to see it: that may be a plugin's."""
    torch: Any = sys.modules["torch"]
    for mode in reversed(sys.modules["torch.overrides"]._get_current_function_mode_stack()):
        if _is_device(mode):
            return mode.device
    return torch.device("cpu")


def leave_devices() -> None:
    """Leaves all default devices, also those that were entered by `torch.device(...).__enter__()`."""
    torch: Any = sys.modules["torch"]
    for mode in _take_function_modes():
        if not _is_device(mode):
            sys.modules["torch.overrides"]._push_mode(mode)
    torch._GLOBAL_DEVICE_CONTEXT.device_context = None
    sys.modules["torch.utils._device"].CURRENT_DEVICE = None  # type: ignore[attr-defined]


def _take_function_modes() -> list[Any]:
    """Empties the stack of function modes. Returns them, the outermost first."""
    overrides: Any = sys.modules["torch.overrides"]
    count = len(overrides._get_current_function_mode_stack())
    return [overrides._pop_mode() for _ in range(count)][::-1]


def _is_device(mode: object) -> bool:
    devices: Any = sys.modules.get("torch.utils._device")
    return devices is not None and isinstance(mode, devices.DeviceContext)
