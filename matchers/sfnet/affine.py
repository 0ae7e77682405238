"""Two views of one picture by random affine maps, and where each point of one lies in the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from matchers.formulas import unit_coordinates
from matchers.training.objective import TrainingSettings

OPTIONS = {"turn": 20.0, "shear": 0.15, "octaves": 0.3, "shift": 0.15}
"""Reach of the random maps of each view."""

OPTION_HELP = {
    "turn": "degrees by which a view is turned at most",
    "shear": "shear of a view at most",
    "octaves": "powers of two by which a view is larger or smaller at most",
    "shift": "half sides of the picture by which a view is moved at most",
}


@dataclass(frozen=True, eq=False)
class Views:
    """Two views of each of B pictures.

    Attributes:
        source, target: (B, 3, s, s) inputs of the network.
        source_mask, target_mask: (B, 1, s, s), or None.
        source_map, target_map: (B, 2, 3), positions on a view -> positions on the picture, both without the
            input's border and in -1..1 corner to corner.
        extent: the picture's share of the input, corner to corner.
    """

    source: Tensor
    target: Tensor
    source_mask: Tensor | None
    target_mask: Tensor | None
    source_map: Tensor
    target_map: Tensor
    extent: float

    def goals(self, cells: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Where the source's cells lie on the target.

        Args:
            cells: rows and columns of a grid that lies corner to corner on the input.

        Returns:
            (B, h, w, 2) positions in -1..1 corner to corner on the input, and (B, h, w) whether the cell
            shows the picture, and the target does so there.
        """
        own = own_positions(cells, self.source) / self.extent
        in_picture = _apply(self.source_map, own.expand(len(self.source), -1, -1, -1))
        goals = _apply(_inverse(self.target_map), in_picture)
        is_inside = (own.abs().amax(-1) <= 1) & (in_picture.abs().amax(-1) <= 1)
        return goals * self.extent, is_inside & (goals.abs().amax(-1) <= 1)


def make_views(
    pictures: Tensor, masks: Tensor | None, settings: TrainingSettings, generator: torch.Generator
) -> Views:
    """Makes two views of each picture (B, 3, s, s); the input's border stays where it is.

    Beyond a picture's edge its outermost pixels go on, and no object is there.

    Args:
        masks: (B, 1, s, s) of the objects, or None.
    """
    border, side = settings.border, pictures.shape[-1]
    maps, views, view_masks = [], [], []
    for _ in range(2):
        maps.append(draw_maps(len(pictures), settings, generator).to(pictures))
        views.append(_view(pictures, maps[-1], border, "border"))
        view_masks.append(None if masks is None else _view(masks, maps[-1], border, "zeros"))
    extent = (side - 2 * border - 1) / (side - 1)
    return Views(views[0], views[1], view_masks[0], view_masks[1], maps[0], maps[1], extent)


def own_positions(cells: tuple[int, int], like: Tensor) -> Tensor:
    """(h, w, 2) positions of the cells themselves, in -1..1 corner to corner."""
    y, x = (unit_coordinates(count, like) for count in cells)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def draw_maps(count: int, settings: TrainingSettings, generator: torch.Generator) -> Tensor:
    """Draws affine maps (B, 2, 3): turned, sheared, scaled and moved."""

    def draw(option: str) -> Tensor:
        return settings.number(option) * (2 * torch.rand(count, generator=generator) - 1)

    angle, scale, shear = draw("turn") * (math.pi / 180), 2 ** draw("octaves"), draw("shear")
    cosine, sine = angle.cos(), angle.sin()
    across = torch.stack([scale * cosine, scale * (shear * cosine - sine), draw("shift")], dim=1)
    down = torch.stack([scale * sine, scale * (shear * sine + cosine), draw("shift")], dim=1)
    return torch.stack([across, down], dim=1)


def _view(pictures: Tensor, maps: Tensor, border: int, beyond: str) -> Tensor:
    """Samples pictures (B, C, s, s) within their border.

    Args:
        beyond: what there is beyond the picture's edge, a padding mode of `grid_sample`.
    """
    side = pictures.shape[-1]
    picture = pictures[..., border : side - border, border : side - border]
    grid = F.affine_grid(maps, list(picture.shape), align_corners=True)
    view = F.grid_sample(picture, grid, padding_mode=beyond, align_corners=True)
    bordered = pictures.clone()
    bordered[..., border : side - border, border : side - border] = view
    return bordered


def _apply(maps: Tensor, positions: Tensor) -> Tensor:
    """Affine maps (B, 2, 3) of positions (B, h, w, 2)."""
    return torch.einsum("bij,bhwj->bhwi", maps[..., :2], positions) + maps[:, None, None, :, 2]


def _inverse(maps: Tensor) -> Tensor:
    """Affine maps (B, 2, 3) that undo others."""
    linear = torch.linalg.inv(maps[..., :2])
    return torch.cat([linear, -linear @ maps[..., 2:]], dim=-1)
