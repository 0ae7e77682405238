"""The loss of prompt tuning: cross-entropy of the predicted position of a point and the true one (paper, eqs.
3 to 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from harness.frames import Size, pixels_to_cells

EPSILON = 1e-6
"""Added to a feature's norm before division, as in the published training."""


def matching_loss(
    source_maps: Tensor,
    target_maps: Tensor,
    source_points: Tensor,
    target_points: Tensor,
    counts: Sequence[int] | Tensor,
    source_size: Size,
    target_size: Size,
    temperature: float = 0.04,
    kernel: int = 7,
) -> Tensor:
    """Mean over pairs of the mean over their points of the smoothed cross-entropy, source to target only.

    A query is sampled bilinearly from the raw source map and normalised after (eps 1e-6); its cosines with
    the target map become a probability by a softmax. The Dirac at the true point is smoothed by weights at
    `kernel` x `kernel` positions around it, one grid step apart, at which the probability is sampled
    bilinearly. The weights are a Gaussian's density with sigma = (kernel // 2) / 2, not normalised: they sum
    to 0.965 for 7. Positions on the map's border or outside it do not count.

    The logarithm is the release's, without an epsilon, but probabilities stay logarithms throughout
    (log-sum-exp instead of the logarithm of a sum): the same number, which stays finite, with its gradient,
    where a probability is too small for float32. Half-precision maps are converted to float32, also under
    autocast.

    Args:
        source_maps: (B, C, h, w) raw features of any floating type.
        target_maps: (B, C, h', w').
        source_points: (B, N, 2) in pixels (x, y) of the frame that the network was fed, over which the grid
            lies corner to corner; clamped to it.
        target_points: (B, N, 2) likewise. SD4Match moves points into the frame before; outside it they lose
            weight.
        counts: number of points of each pair. Rows beyond it may hold anything.
        source_size, target_size: of the frames in pixels.
        temperature: beta.
        kernel: odd; 1 is the Dirac itself.

    Returns:
        A scalar, in float32, or float64 where the maps are.

    Raises:
        ValueError: a pair without a point, or an even kernel.
    """
    numbers = [int(count) for count in counts]
    if min(numbers, default=0) < 1:
        raise ValueError(f"each pair needs at least one point, counts are {numbers}")
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"the kernel is a positive odd number of positions, not {kernel}")
    losses = []
    # Autocast would take the dot products in half precision, whatever the precision of the maps.
    with torch.autocast(source_maps.device.type, enabled=False):
        sources, targets = _split_maps(source_maps), _split_maps(target_maps)
        for row, (source, target, count) in enumerate(zip(sources, targets, numbers, strict=True)):
            source_positions = _grid_positions(source_points[row, :count], source_size, source)
            target_positions = _grid_positions(target_points[row, :count], target_size, target)
            queries = _normalize(_sample(source, source_positions))
            logarithm = (_cosines(queries, target) / temperature).log_softmax(dim=1)
            logarithm = logarithm.view(count, *target.shape[:2])
            losses.append(_cross_entropies(logarithm, target_positions, kernel).mean())
    return torch.stack(losses).mean()


def _split_maps(maps: Tensor) -> tuple[Tensor, ...]:
    """(B, C, h, w) -> B maps (h, w, C), at least in single precision.

    Channels last, as the network leaves them: the features of a position side by side, also in the gradients.
    Split once: the gradient of one row of a batch would be as large as the batch.
    """
    if maps.dtype in (torch.float16, torch.bfloat16):
        maps = maps.float()
    return maps.movedim(1, -1).unbind()


def _grid_positions(points: Tensor, frame: Size, data: Tensor) -> Tensor:
    """Frame pixels (N, 2) -> positions on the grid of a map (h, w, C), in its precision and on its device."""
    height, width = data.shape[:2]
    return pixels_to_cells(points.to(data.device, data.dtype), frame, Size(width, height), "corner")


def _sample(data: Tensor, positions: Tensor) -> Tensor:
    """Bilinear samples of a map (h, w, C) at positions (N, 2), clamped to its border -> (N, C)."""
    indices, weights = _corners(positions, data.shape[1], data.shape[0])
    return (data.flatten(0, 1)[indices] * weights[..., None]).sum(dim=0)


def _normalize(features: Tensor) -> Tensor:
    """Features (N, C) over their L2 norms: f / (|f| + 1e-6)."""
    norms: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (norms + EPSILON)


def _cosines(queries: Tensor, target: Tensor) -> Tensor:
    """Cosines of normal queries (N, C) with all positions of a raw map (h, w, C) -> (N, h w).

    The products are divided by the norms: there are fewer products than features.
    """
    flat = target.flatten(0, 1)
    norms: Tensor = torch.linalg.vector_norm(flat, dim=1)
    return queries @ flat.T / (norms + EPSILON)


def _corners(positions: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """The four grid points around positions (..., 2), clamped to the map's border: numbers in row order, and
    bilinear weights, each (4, ...).
    """
    x, y = positions[..., 0].clamp(0, width - 1), positions[..., 1].clamp(0, height - 1)
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    a, b = x - left, y - top
    indices = [row * width + column for row in (top, bottom) for column in (left, right)]
    weights = [down * across for down in (1 - b, b) for across in (1 - a, a)]
    return torch.stack(indices), torch.stack(weights)


def _cross_entropies(logarithm: Tensor, true_positions: Tensor, kernel: int) -> Tensor:
    """(N,) from logarithms of probabilities (N, h, w) and true positions (N, 2)."""
    reach = kernel // 2
    steps = torch.arange(-reach, reach + 1, device=true_positions.device, dtype=true_positions.dtype)
    offsets = torch.cartesian_prod(steps, steps)
    positions = true_positions[:, None] + offsets
    last = positions.new_tensor([logarithm.shape[2] - 1, logarithm.shape[1] - 1])
    inside = ((positions > 0) & (positions < last)).all(dim=2)
    weights = inside * _gaussian(offsets, reach / 2)
    return -(weights.to(logarithm.dtype) * _sample_logarithm(logarithm, positions)).sum(dim=1)


def _gaussian(offsets: Tensor, sigma: float) -> Tensor:
    """Density (K,) of a two-dimensional Gaussian at offsets (K, 2); 1 where it has no width."""
    if sigma == 0:
        return torch.ones(len(offsets), device=offsets.device, dtype=offsets.dtype)
    return (offsets.square().sum(dim=1) / (-2 * sigma**2)).exp() / (2 * math.pi * sigma**2)


def _sample_logarithm(logarithm: Tensor, positions: Tensor) -> Tensor:
    """Logarithm of bilinear samples, clamped to the border: maps of logarithms (N, h, w), positions (N, K, 2)
    -> (N, K).
    """
    height, width = logarithm.shape[1:]
    positions = _round_as_release(positions, positions.new_tensor([width - 1, height - 1]))
    indices, weights = _corners(positions, width, height)
    corners = logarithm.flatten(1).expand(4, -1, -1).gather(2, indices)
    return (corners + weights.log().to(corners.dtype)).logsumexp(dim=0)


def _round_as_release(positions: Tensor, last: Tensor) -> Tensor:
    """Positions with the rounding errors of the release's sampling, which converts them to [-1, 1] and back.

    A point at the frame's edge is moved 1e-4 pixels into it, about 1e-5 grid steps. Rounding leaves a part of
    that, which becomes the weight of the next grid point. Where that point is a million times as probable,
    its weight decides the gradient.
    """
    spans = last.clamp(min=1)
    return ((positions / spans * 2 - 1) + 1) / 2 * spans
