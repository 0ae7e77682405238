"""Random warps of pictures, and the matches that follow from them.

Positions are (x, y) from -1 to 1 between the corners of a picture, as NCNet lays its cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.specs import Scalar
from matchers.formulas import unit_coordinates
from matchers.training.objective import TrainingSettings

OPTIONS: dict[str, Scalar] = {"turn": 25.0, "zoom": 1.3, "shift": 0.2, "bend": 0.1}

OPTION_HELP = {
    "turn": "largest angle of a warp, in degrees",
    "zoom": "largest factor by which a warp enlarges or reduces, across and down each",
    "shift": "largest shift of a warp, as a share of half the picture's side",
    "bend": "largest shift of one of the 4 x 4 points between which a warp bends, as such a share",
}

_BENDING_POINTS = 4


@dataclass(frozen=True, eq=False)
class Warps:
    """Smooth maps from warped pictures to the original ones.

    Attributes:
        affine: (B, 2, 3) maps of (x, y, 1).
        bends: (B, 2, k, k) shifts of points that lie in a grid from corner to corner.
    """

    affine: Tensor
    bends: Tensor

    def positions(self, height: int, width: int) -> Tensor:
        """Positions (B, h, w, 2) in the originals of cells of the warped pictures, corner to corner."""
        across, down = unit_coordinates(width, self.bends), unit_coordinates(height, self.bends)
        own = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
        homogeneous = torch.cat([own, torch.ones_like(own[..., :1])], dim=-1)
        mapped = torch.einsum("bij,hwj->bhwi", self.affine, homogeneous)
        grid = own.expand(len(self.bends), -1, -1, -1)
        bent = F.grid_sample(self.bends, grid, mode="bilinear", align_corners=True)
        return mapped + bent.permute(0, 2, 3, 1)

    def apply(self, pictures: Tensor) -> Tensor:
        """Pictures (B, C, H, W), warped; what lies outside of one is a repetition of its border."""
        height, width = pictures.shape[2:]
        grid = self.positions(height, width)
        return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=True)


def draw_warps(count: int, settings: TrainingSettings, generator: torch.Generator, like: Tensor) -> Warps:
    """Random warps, each of a turn, zooms across and down, a shift, and bends.

    Args:
        like: of the kind of number and on the device that they are to have.
    """

    def draw(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator) * 2 - 1

    angle = draw() * math.radians(settings.number("turn"))
    zooms = settings.number("zoom") ** draw(2)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=-1).view(-1, 2, 2)
    shift = draw(2, 1) * settings.number("shift")
    affine = torch.cat([turn * zooms[:, None], shift], dim=-1)
    bends = draw(2, _BENDING_POINTS, _BENDING_POINTS) * settings.number("bend")
    return Warps(affine.to(like), bends.to(like))


def known_matches(warps: Warps, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The cells of the originals that cells of the warped pictures come from.

    Returns:
        (B, S, T) weights of the four cells of the original around the place that each cell of the warped
        picture comes from, S = T = height * width, of sum 1; (B, T) whether that place is inside.
    """
    positions = warps.positions(height, width).flatten(1, 2)
    is_inside = (positions.abs() <= 1).all(dim=-1)
    last = positions.new_tensor([width - 1, height - 1])
    x, y = (((positions.clamp(-1, 1) + 1) / 2) * last).unbind(-1)
    # Of a cell at the place x, weight 1 - |cell - x| where that is positive.
    across = (1 - (torch.arange(width).to(x) - x[..., None]).abs()).clamp(min=0)
    down = (1 - (torch.arange(height).to(y) - y[..., None]).abs()).clamp(min=0)
    weights = (down[..., :, None] * across[..., None, :]).flatten(2)
    return weights.transpose(1, 2), is_inside
