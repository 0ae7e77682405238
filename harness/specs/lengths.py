"""Features of any magnitude: squares of single precision end at 1e19 and vanish below 1e-23.

What is of an ordinary magnitude is computed as it is. The rest is widened to double precision, or multiplied
by powers of two, which changes no digit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def lengths(features: Tensor, dim: int) -> Tensor:
    """L2 norms along a dimension.

    Args:
        features: of single or double precision, finite.
    """
    import torch

    scaled, exponents = _scaled(features, dim)
    norms: Tensor = torch.linalg.vector_norm(scaled, dim=dim)
    return norms if exponents is None else torch.ldexp(norms, exponents.squeeze(dim))


def unit_features(features: Tensor, dim: int) -> Tensor:
    """Features over their L2 norms along a dimension; a feature of zeros stays one of zeros.

    Args:
        features: of single or double precision, finite.
    """
    import torch

    scaled, _ = _scaled(features, dim)
    norms: Tensor = torch.linalg.vector_norm(scaled, dim=dim, keepdim=True)
    return scaled / nonzero(norms)


def nonzero(norms: Tensor) -> Tensor:
    """Norms to divide by: 1 in place of 0, since a feature of zeros is similar to none."""
    return norms.where(norms > 0, 1)


def power_of_two(values: Tensor) -> int:
    """The exponent n for which the largest of values * 2**n is near 1; 0 where it is ordinary.

    It is bounded, so that 2**n is a number of the values' own kind.
    """
    peak = float(values.detach().abs().max()) if values.numel() else 0.0
    smallest, largest = _ordinary(values.dtype)
    if peak == 0 or smallest <= peak <= largest:
        return 0
    bound = _largest_exponent(values.dtype)
    return max(-bound, min(bound, -math.frexp(peak)[1]))


def widening(data: Tensor) -> tuple[torch.dtype, int]:
    """The kind of number, and the exponent of a power of two for the map, in which its products are computed.

    Single precision and an exponent of 0 for an ordinary map; double precision, whose squares hold all that
    single precision holds, where a cell is larger or smaller; and for such a map of double precision the
    exponent that brings the middle between its largest and smallest cell near 1.

    Args:
        data: (C, h, w), finite.
    """
    import torch

    dtype = torch.float32 if data.dtype in (torch.float16, torch.bfloat16) else data.dtype
    peaks = data.detach().to(dtype).abs().amax(0)
    peaks = peaks[peaks > 0]
    smallest, largest = _ordinary(dtype)
    if not peaks.numel() or bool(((peaks >= smallest) & (peaks <= largest)).all()):
        return dtype, 0
    if dtype != torch.float64:
        return torch.float64, 0
    ends = [math.frexp(float(peak))[1] for peak in (peaks.min(), peaks.max())]
    bound = _largest_exponent(dtype)
    return dtype, max(-bound, min(bound, -sum(ends) // 2))


def _scaled(features: Tensor, dim: int) -> tuple[Tensor, Tensor | None]:
    """Features times powers of two along a dimension, and the exponents that undo it; None if all are 0."""
    import torch

    peaks = features.detach().abs().amax(dim, keepdim=True)
    smallest, largest = _ordinary(features.dtype)
    if ((peaks == 0) | ((peaks >= smallest) & (peaks <= largest))).all():
        return features, None
    bound = _largest_exponent(features.dtype)
    exponents = torch.frexp(peaks).exponent.clamp(-bound, bound)
    return features * torch.ldexp(torch.ones_like(peaks), -exponents), exponents


def _ordinary(dtype: torch.dtype) -> tuple[float, float]:
    """Magnitudes whose squares, and sums of them over channels, neither overflow nor vanish."""
    import torch

    exponent = 400 if dtype == torch.float64 else 32
    return 2.0**-exponent, 2.0**exponent


def _largest_exponent(dtype: torch.dtype) -> int:
    """Exponent of a power of two that is a number of this kind, and whose inverse is one, too."""
    import torch

    return 1000 if dtype == torch.float64 else 100
