"""Kernels of CHM's convolutions, in which offsets of the same geometry share a parameter.

A kernel's axes are row and column of the source and row and column of the target, each an offset from the
kernel's centre. Over scales, the kernel has two axes of three positions more: scale of source and target.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import torch
from torch import Tensor

Sharing = Literal["psi", "iso"]
"""Which offsets share a parameter.

`psi`: those with the same two lengths, in either order, and the same distance from each other (position
sensitive and isotropic); `iso`: those with the same distance alone.
"""

SCALES = 3
"""Positions of a kernel, and scales of a picture's map, along an axis of scales."""

_SCALE_GROUPS: dict[Sharing, tuple[tuple[int, ...], ...]] = {
    "psi": ((4,), (0, 8), (2, 6), (1, 3, 5, 7)),
    "iso": ((0, 4, 8), (2, 6), (1, 3, 5, 7)),
}
"""Positions of the 3 x 3 pairs of scales, row by row, that share the parameters of a spatial kernel."""

_SIDES = (1, 3, 5, 7)
"""Sides of kernels that are told from the number of their parameters."""


@dataclass(frozen=True)
class KernelShape:
    """Side of a spatial kernel, and the rule by which its offsets share parameters."""

    sharing: Sharing
    side: int

    @classmethod
    def of(cls, parameters: int, scale_groups: int) -> KernelShape | None:
        """The shape with so many spatial parameters, and so many sets of them over scales; None if none."""
        for sharing, groups in _SCALE_GROUPS.items():
            for side in _SIDES:
                if len(groups) == scale_groups and len(_group_sizes(sharing, side)) == parameters:
                    return cls(sharing, side)
        return None

    @property
    def parameters(self) -> int:
        """Number of parameters of a spatial kernel."""
        return len(_group_sizes(self.sharing, self.side))

    @property
    def scale_groups(self) -> int:
        """Number of sets of spatial parameters of a kernel over scales."""
        return len(_SCALE_GROUPS[self.sharing])

    def spatial(self, parameters: Tensor) -> Tensor:
        """Kernel (k, k, k, k); a weight is its parameter over the number of offsets that share it."""
        groups, sizes = _spatial_groups(self.sharing, self.side)
        return (parameters / sizes.to(parameters))[groups.to(parameters.device)]

    def parallel_groups(self) -> Tensor:
        """(P) 1 for groups of equal offsets in source and target, 0 for all others."""
        groups, _ = _spatial_groups(self.sharing, self.side)
        offsets = product(range(-(self.side // 2), self.side // 2 + 1), repeat=4)
        numbers = groups.flatten().tolist()
        equal = {group for group, (i, j, k, m) in zip(numbers, offsets, strict=True) if (i, j) == (k, m)}
        return torch.tensor(
            [float(number in equal) for number in range(len(_group_sizes(self.sharing, self.side)))]
        )

    def over_scales(self, parameters: Sequence[Tensor]) -> Tensor:
        """Kernel (3, 3, k, k, k, k); its weights are divided by the number of pairs of scales, too."""
        position_kernels: dict[int, Tensor] = {}
        for positions, values in zip(_SCALE_GROUPS[self.sharing], parameters, strict=True):
            kernel = self.spatial(values) / len(positions)
            position_kernels.update(dict.fromkeys(positions, kernel))
        stacked = torch.stack([position_kernels[position] for position in range(SCALES * SCALES)])
        return stacked.view(SCALES, SCALES, *stacked.shape[1:])


# Kept by the process: made in inference mode, as matching is, they could not be trained through later.
@cache
@torch.inference_mode(False)
def _spatial_groups(sharing: Sharing, side: int) -> tuple[Tensor, Tensor]:
    """Number of each offset's group (k, k, k, k), and the sizes of groups, in order of first appearance."""
    numbers: dict[Hashable, int] = {}
    offsets = product(range(-(side // 2), side // 2 + 1), repeat=4)
    groups = [numbers.setdefault(_geometry(sharing, *offset), len(numbers)) for offset in offsets]
    group_numbers = torch.tensor(groups).view(side, side, side, side)
    return group_numbers, torch.bincount(group_numbers.flatten())


@cache
def _group_sizes(sharing: Sharing, side: int) -> tuple[int, ...]:
    return tuple(_spatial_groups(sharing, side)[1].tolist())


def _geometry(sharing: Sharing, down: int, right: int, target_down: int, target_right: int) -> Hashable:
    """What the offset from the centre in the source and that in the target share with others."""
    distance = (down - target_down) ** 2 + (right - target_right) ** 2
    if sharing == "iso":
        return distance
    lengths = (down**2 + right**2, target_down**2 + target_right**2)
    return max(lengths), min(lengths), distance
