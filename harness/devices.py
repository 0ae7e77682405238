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
