"""Convolution over the four axes of a correlation: rows and columns of two images.

It is a sum of three-dimensional convolutions, one for each tap along the first axis. They are computed as
one: the taps are put beside the channels of the side that has fewer of them, the input's or the output's, so
that processors find enough channels to work on. Volumes pass in slabs of rows, so that the copies that exist
besides input and output stay within `SLAB_BYTES`, or one row's where that is more. With kernels of 5 and 16
channels at 25 x 25 against 25 x 25 cells (NCNet) input and output have 25 MB each, and a row's copy 5 MB; on
one core with AVX-512 the three convolutions take 1.5 s for 70 G multiply-adds.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SLAB_BYTES = 1 << 25
"""Memory for the copies of a slab: 32 MiB.

It is always the same, so that results are: the shape of a tensor decides how its sums are split.
"""


def convolve4d(volume: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Volumes (B, in, h, w, h', w') -> (B, out, h, w, h', w'), padded with zeros to keep their size.

    As every convolution of networks, it is a correlation: kernels are not mirrored.

    Args:
        weight: (k1, out, in, k2, k3, k4), the first axis being the taps along h, as NCNet's checkpoints store
            it. Kernels of odd sizes, which may differ between axes.
        bias: (out).

    Raises:
        ValueError: a kernel of an even size, which has no middle.
    """
    if any(length % 2 == 0 for length in _kernel(weight)):
        raise ValueError(f"kernels of 4-D convolutions must be odd, not {_kernel(weight)}")
    outputs, inputs = weight.shape[1:3]
    convolve = _with_taps_of_inputs if inputs <= outputs else _with_taps_of_outputs
    result = convolve(volume, weight)
    return result if bias is None else result + bias.view(-1, 1, 1, 1, 1)


def swap_sides(volume: Tensor) -> Tensor:
    """(..., h, w, h', w') -> (..., h', w', h, w)."""
    return volume.movedim((-4, -3), (-2, -1))


class Convolution4d(nn.Module):
    """A 4-D convolution with bias; its tensors are named and laid out as NCNet's.

    Attributes:
        weight: (k, out, in, k, k, k).
        bias: (out).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(kernel, outputs, inputs, kernel, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(outputs))
        # Uniform within 1 / sqrt(numbers that a result is summed from), as torch begins its convolutions.
        reach = 1 / math.sqrt(inputs * kernel**4)
        nn.init.uniform_(self.weight, -reach, reach)
        nn.init.uniform_(self.bias, -reach, reach)

    def forward(self, volume: Tensor) -> Tensor:
        """(B, in, h, w, h', w') -> (B, out, h, w, h', w')."""
        return convolve4d(volume, self.weight, self.bias)


def _kernel(weight: Tensor) -> tuple[int, ...]:
    return (weight.shape[0], *weight.shape[3:])


def _padding(weight: Tensor) -> list[int]:
    return [length // 2 for length in weight.shape[3:]]


def _rows_of_slab(volume: Tensor, channels: int) -> int:
    """Rows of a slab whose copy has so many channels."""
    row = len(volume) * channels * math.prod(volume.shape[3:]) * volume.element_size()
    return max(1, SLAB_BYTES // max(row, 1))


def _with_taps_of_inputs(volume: Tensor, weight: Tensor) -> Tensor:
    """Computes it with the rows around each row as further input channels."""
    batch, inputs, height, *rest = volume.shape
    taps, outputs = weight.shape[:2]
    kernel = weight.permute(1, 0, 2, 3, 4, 5).flatten(1, 2)
    margin = taps // 2
    # (B, h + margins, in, w, h', w'): rows of one tap are then one piece of memory.
    by_row = nn.functional.pad(volume.transpose(1, 2), (0, 0) * 4 + (margin, margin))
    rows = _rows_of_slab(volume, taps * inputs)
    slabs = []
    for first in range(0, height, rows):
        last = min(first + rows, height)
        around = torch.stack([by_row[:, first + tap : last + tap] for tap in range(taps)], dim=2)
        slab = nn.functional.conv3d(around.view(-1, taps * inputs, *rest), kernel, padding=_padding(weight))
        slabs.append(slab.view(batch, last - first, outputs, *rest))
    return torch.cat(slabs, dim=1).transpose(1, 2)


def _with_taps_of_outputs(volume: Tensor, weight: Tensor) -> Tensor:
    """Computes it with what each row gives to the rows around it as further output channels."""
    batch, inputs, height, *rest = volume.shape
    taps, outputs = weight.shape[:2]
    kernel = weight.flatten(0, 1)
    margin = taps // 2
    by_row = volume.transpose(1, 2)
    result = volume.new_zeros(batch, height + 2 * margin, outputs, *rest)
    rows = _rows_of_slab(volume, taps * outputs)
    for first in range(0, height, rows):
        last = min(first + rows, height)
        slab = by_row[:, first:last].reshape(-1, inputs, *rest)
        given = nn.functional.conv3d(slab, kernel, padding=_padding(weight))
        given = given.view(batch, last - first, taps, outputs, *rest)
        for tap in range(taps):
            # A row is tap t of the row that lies t - margin before it.
            start = first + 2 * margin - tap
            result[:, start : start + last - first] += given[:, :, tap]
    return result[:, margin : margin + height].transpose(1, 2)
