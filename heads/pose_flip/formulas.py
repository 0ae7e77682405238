"""The formulas of the pose flip, as functions of points, features and visibility.

Zhang et al., "Telling Left from Right", CVPR 2024, as the authors' program has it. The source is compared
with the target as it is and mirrored. Where the mirrored one is nearer, points that are seen in both images
together with their partner (the left eye of a right one) are predicted anew: from the mirrored source, at
the partner's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 64
"""Cells along a side of the maps between which the masked distance is measured."""


def partner_order(names: Sequence[str], partners: Mapping[str, str]) -> list[int]:
    """Index of each keypoint's partner; its own where it has none among the names.

    Args:
        names: keypoints, each once.
        partners: keypoint -> the one that takes its place in a mirrored picture.
    """
    places = {name: number for number, name in enumerate(names)}
    return [places.get(partners.get(name, name), number) for number, name in enumerate(names)]


def replaceable(order: Sequence[int], is_visible: Tensor) -> Tensor:
    """(N) bool: points that are visible in both images, and so are their partners.

    Args:
        order: index of each point's partner.
        is_visible: (N) bool, visible in both images.
    """
    return is_visible & is_visible[list(order)]


def visible_order(order: Sequence[int], is_visible: Tensor) -> list[int]:
    """Index of the point whose place each one is looked up at in the mirrored source: its partner, or itself.

    Args: as for `replaceable`.
    """
    swaps = replaceable(order, is_visible).tolist()
    return [partner if swap else own for own, (partner, swap) in enumerate(zip(order, swaps, strict=True))]


def mirror_points(points: Tensor, width: float) -> Tensor:
    """(N, 2) points of an image -> the same points of its mirror image; width in the points' own unit."""
    return torch.stack([width - points[:, 0], points[:, 1]], dim=1)


def masked_distance(source: Tensor, target: Tensor, source_mask: Tensor, target_mask: Tensor) -> Tensor:
    """Mean distance of the source object's cells to the nearest of the target object.

    Args:
        source, target: (C, h, w) features of unit length.
        source_mask, target_mask: (H, W), True where the object is.

    Returns:
        A number; not finite where a mask shows no cell.
    """
    of_source, of_target = _inside(source, source_mask), _inside(target, target_mask)
    if not len(of_source) or not len(of_target):
        return source.new_tensor(torch.inf)
    return torch.cdist(of_source, of_target).min(dim=1).values.mean()


def _inside(features: Tensor, mask: Tensor) -> Tensor:
    """(N, C) features of cells within a mask, on a grid of `SIDE` x `SIDE`.

    Features are resized as they are, of unit length before and shorter after.
    """
    resized = F.interpolate(features[None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)[0]
    is_inside = F.interpolate(mask[None, None].to(features), size=(SIDE, SIDE), mode="nearest")[0, 0] > 0
    return resized[:, is_inside].T


def mutual_distance(source: Tensor, target: Tensor) -> Tensor:
    """Mean distance between cells that are each other's nearest ones, where there are no masks.

    Args:
        source, target: (C, h, w) features of unit length.
    """
    distances = torch.cdist(source.flatten(1).T, target.flatten(1).T)
    nearest, there = distances.min(dim=1)
    back = distances.argmin(dim=0)
    is_mutual = back[there] == torch.arange(len(there), device=there.device)
    return nearest[is_mutual].mean()


def merge_predictions(plain: Tensor, flipped: Tensor, is_replaced: Tensor) -> Tensor:
    """(N, 2) predictions of the source as it is, and of the mirrored one where points are replaced.

    Args:
        plain, flipped: (N, 2), from the source as it is and from the mirrored one.
        is_replaced: (N) bool; all False where the source as it is was nearer.
    """
    return torch.where(is_replaced[:, None], flipped, plain)
