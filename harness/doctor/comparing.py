"""Two results of a plugin that should be the same, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.doctor.findings import Failed

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""Largest difference, relative to the largest number, that rounding explains."""


def compare(data: torch.Tensor, other: torch.Tensor, tolerance: float, what: str = "features") -> str:
    """Describes how far two tensors are apart.

    Args:
        tolerance: relative to the largest number of `data`.
        what: what the numbers are, in the plural.

    Raises:
        Failed: they are further apart than that, or of different shapes.
    """
    if data.shape != other.shape:
        raise Failed(f"shapes {tuple(data.shape)} and {tuple(other.shape)}")
    # Tensors of zeros, which no division may meet.
    scale = max(float(data.abs().max()), 1e-30)
    apart = float((data.double() - other.double()).abs().max()) / scale
    if apart > tolerance:
        raise Failed(f"{what} differ by {apart:.1e} of the largest; allowed {tolerance:.0e}")
    return f"apart by {apart:.0e} of the largest" if apart else "equal"
