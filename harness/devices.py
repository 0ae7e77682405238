"""The torch device that a user names."""

from __future__ import annotations

from harness.errors import UserError
from harness.imports import uncollected


def device_name(name: str) -> str:
    """The device, checked; for `auto` a GPU if there is one. Raises `UserError`."""
    with uncollected():
        import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}; 'cpu' always works") from error
    return name


def require_compiler(device: str) -> None:
    """Compiles a trifle for a device, which a machine without a compiler cannot. Raises `UserError`.

    Some seconds the first time on a machine; PyTorch keeps what it compiled.
    """
    import torch

    def trifle(one: torch.Tensor) -> torch.Tensor:
        return one.sin() + 1

    try:
        torch.compile(trifle, fullgraph=True, dynamic=False)(torch.zeros(64, device=device))
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        needed = "Triton and a C compiler" if device.startswith("cuda") else "a C++ compiler such as g++"
        told = f"--compile: PyTorch cannot compile for {device} ({lines[0][:200]})"
        raise UserError(f"{told}; install {needed}, or leave --compile out") from error
