"""The settings of torch that numbers depend on, read and written by label.

torch is never imported here: its settings exist once somebody else has imported it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from harness.isolation.torch_modes import default_device, leave_devices, reading_without_modes

Values = Mapping[str, Any]


class _Switch(NamedTuple):
    """One setting of torch."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


def read_switches() -> Values:
    """Returns the settings that do not depend on one another."""
    return {label: switch.read() for label, switch in _switches().items()}


def write_switches(values: Values) -> None:
    """Puts settings in place."""
    switches = _switches()
    for label, value in values.items():
        switches[label].write(value)


@cache
def _switches() -> dict[str, _Switch]:
    """Label -> setting, of those that this version of torch has."""
    torch: Any = sys.modules["torch"]
    switches: dict[str, _Switch] = {}
    for label, switch in (
        *_modes(torch),
        *_autocast(torch),
        *_attributes(torch),
        *_kernels(torch),
    ):
        try:
            switch.read()
        except (AttributeError, RuntimeError, TypeError):
            # Other versions of torch, and builds without a GPU, lack some.
            continue
        switches[label] = switch
    return switches


def _modes(torch: Any) -> Iterator[tuple[str, _Switch]]:
    def write_device(device: Any) -> None:
        leave_devices()
        # None and not the CPU: with a device set, every call passes through Python.
        if device.type != "cpu":
            torch.set_default_device(device)

    def write_tensor_type(device: str) -> None:
        types = torch if device == "cpu" else getattr(torch, device)
        dtype = torch.get_default_dtype()
        with warnings.catch_warnings():
            # torch's advice to use another function, which cannot take back this one.
            warnings.simplefilter("ignore")
            torch._C._set_default_tensor_type(types.FloatTensor)
        torch.set_default_dtype(dtype)

    def write_inference(is_on: bool) -> None:
        # Entered for good: whoever entered the other mode will not leave it.
        torch.inference_mode(is_on).__enter__()

    def write_deterministic(value: tuple[bool, bool]) -> None:
        is_on, warns_only = value
        torch.use_deterministic_algorithms(is_on, warn_only=warns_only)

    yield (
        "torch.backends' freedom to change",
        _Switch(
            torch.backends.flags_frozen,
            # torch can only take the freedom away.
            lambda is_frozen: torch.backends.flags_frozen.__globals__.update(
                {"__allow_nonbracketed_mutation_flag": not is_frozen}
            ),
        ),
    )
    yield "torch's inference mode", _Switch(torch.is_inference_mode_enabled, write_inference)
    yield "torch's gradient mode", _Switch(torch.is_grad_enabled, torch._C._set_grad_enabled)
    yield "torch's default tensor type", _Switch(torch._C._get_default_device, write_tensor_type)
    yield "torch's default dtype", _Switch(torch.get_default_dtype, torch.set_default_dtype)
    yield "torch's default device", _Switch(default_device, write_device)
    yield "torch's number of threads", _Switch(torch.get_num_threads, torch.set_num_threads)
    yield "torch's flushing of denormal numbers", _Switch(_flushes_denormals, torch.set_flush_denormal)
    yield "torch's detection of anomalies", _Switch(torch.is_anomaly_enabled, torch.set_anomaly_enabled)
    yield (
        "torch's deterministic algorithms",
        _Switch(
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            write_deterministic,
        ),
    )


_DENORMAL = 5e-324


def _flushes_denormals() -> bool:
    # torch cannot be asked. The processor's switch holds for Python's numbers, too.
    return _DENORMAL * 1.0 == 0


def _autocast(torch: Any) -> Iterator[tuple[str, _Switch]]:
    for device in ("cpu", "cuda"):
        yield f"torch's autocast on {device}", _autocast_switch(torch, device)
        yield (
            f"torch's dtype of autocast on {device}",
            _Switch(partial(torch.get_autocast_dtype, device), partial(torch.set_autocast_dtype, device)),
        )
    yield "torch's autocast cache", _Switch(torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled)


def _autocast_switch(torch: Any, device: str) -> _Switch:
    def write(is_on: bool) -> None:
        torch.set_autocast_enabled(device, is_on)
        # It holds weights in the other precision.
        torch.clear_autocast_cache()

    return _Switch(partial(torch.is_autocast_enabled, device), write)


_ATTRIBUTES = (
    "cudnn.enabled",
    "cudnn.benchmark",
    "cudnn.benchmark_limit",
    "cudnn.deterministic",
    "mkldnn.enabled",
    "mkldnn.deterministic",
    "opt_einsum.enabled",
    "opt_einsum.strategy",
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
    "cuda.matmul.allow_fp16_accumulation",
)
"""Settings of `torch.backends` that are attributes."""


def _attributes(torch: Any) -> Iterator[tuple[str, _Switch]]:
    for path in _ATTRIBUTES:
        yield f"torch.backends.{path}", _attribute(torch.backends, path)


def _attribute(root: Any, path: str) -> _Switch:
    *parents, name = path.split(".")

    def owner() -> Any:
        module = root
        for parent in parents:
            module = getattr(module, parent)
        return module

    return _Switch(lambda: getattr(owner(), name), lambda value: setattr(owner(), name, value))


def _kernels(torch: Any) -> Iterator[tuple[str, _Switch]]:
    """The choice among kernels of one purpose."""
    cuda = torch.backends.cuda
    pairs: list[tuple[Any, str, str]] = [
        (cuda, "flash_sdp_enabled", "enable_flash_sdp"),
        (cuda, "mem_efficient_sdp_enabled", "enable_mem_efficient_sdp"),
        (cuda, "math_sdp_enabled", "enable_math_sdp"),
        (cuda, "cudnn_sdp_enabled", "enable_cudnn_sdp"),
        (cuda, "fp16_bf16_reduction_math_sdp_allowed", "allow_fp16_bf16_reduction_math_sdp"),
        (torch._C, "_get_nnpack_enabled", "_set_nnpack_enabled"),
        (torch._C, "_get_sdp_priority_order", "_set_sdp_priority_order"),
        (cuda, "preferred_linalg_library", "preferred_linalg_library"),
        (cuda, "preferred_blas_library", "preferred_blas_library"),
    ]
    for module, reader, writer in pairs:
        if hasattr(module, reader) and hasattr(module, writer):
            label = (
                f"torch's {reader.removeprefix('_get_').removesuffix('_enabled').removesuffix('_allowed')}"
            )
            yield label, _Switch(getattr(module, reader), getattr(module, writer))


_PRECISIONS = (
    "fp32_precision",
    "cuda.matmul.fp32_precision",
    "cudnn.fp32_precision",
    "cudnn.conv.fp32_precision",
    "cudnn.rnn.fp32_precision",
    "mkldnn.fp32_precision",
    "mkldnn.matmul.fp32_precision",
    "mkldnn.conv.fp32_precision",
    "mkldnn.rnn.fp32_precision",
)
"""The precisions that `torch.set_float32_matmul_precision` sets several of, from 2.9 on."""


@cache
def _older_precisions() -> dict[str, _Switch]:
    """The settings that torch had first. They keep values of their own and set several of the newer ones."""
    torch: Any = sys.modules["torch"]
    return {
        "torch's float32 matmul precision": _Switch(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        ),
        "torch.backends.cudnn.allow_tf32": _attribute(torch.backends, "cudnn.allow_tf32"),
        "torch.backends.mkldnn.allow_tf32": _attribute(torch.backends, "mkldnn.allow_tf32"),
    }


@cache
def _precisions() -> dict[str, _Switch]:
    torch: Any = sys.modules["torch"]
    switches: dict[str, _Switch] = {}
    # Earlier versions have the last one instead.
    for path in (*_PRECISIONS, "cuda.matmul.allow_tf32"):
        if path.endswith("allow_tf32") and switches:
            break
        switch = _attribute(torch.backends, path)
        try:
            switch.read()
        except (AttributeError, RuntimeError):
            continue
        switches[f"torch.backends.{path}"] = switch
    return switches


def read_precision() -> Values:
    """Returns the precisions of float32 arithmetic."""
    values = {label: switch.read() for label, switch in _precisions().items()}
    for label, switch in _older_precisions().items():
        try:
            values[label] = switch.read()
        except (AttributeError, RuntimeError):
            # Where the newer settings say something that the older one has no word for.
            values[label] = None
    return values


def write_precision(values: Values) -> None:
    """Puts precisions in place."""
    wanted = {**read_precision(), **values}
    # The older settings first: they change several of the newer ones, which are then put right.
    for label, switch in _older_precisions().items():
        if wanted[label] is not None:
            switch.write(wanted[label])
    for label, switch in _precisions().items():
        if switch.read() != wanted[label]:
            switch.write(wanted[label])


def read_streams() -> Values:
    """Returns the states of torch's random generators."""
    torch: Any = sys.modules["torch"]
    values: dict[str, Any] = {STREAM: _bytes(torch.default_generator.get_state())}
    if torch.cuda.is_initialized():
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            values[f"{STREAM} on cuda:{number}"] = _bytes(state)
    return values


def write_streams(values: Values) -> None:
    """Puts states of random generators in place."""
    torch: Any = sys.modules["torch"]
    for label, value in values.items():
        state = torch.frombuffer(bytearray(value), dtype=torch.uint8)
        if label == STREAM:
            torch.default_generator.set_state(state)
        else:
            torch.cuda.set_rng_state(state, label.rpartition(" ")[2])


STREAM = "torch's random generator"


@reading_without_modes()
def first_stream() -> Values:
    """The state of torch's generator in a process in which nobody has used it."""
    torch: Any = sys.modules["torch"]
    return {STREAM: _bytes(torch.Generator().get_state())}


def _bytes(state: Any) -> bytes:
    content: bytes = state.numpy().tobytes()
    return content
