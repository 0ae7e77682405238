"""What GeoAware-SC's and DIY-SC's trainings have in common: the network, and a loss on pairs of points."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import UserError
from harness.frames import Frame, Size
from harness.specs import Scalar
from heads.aggregation.network import GROUPS, AggregationNetwork, AggregationShape, NormedConvolution
from matchers.training.objective import Batch, Losses, ParameterGroups, Tensors, TrainingSettings

OPTIONS: Mapping[str, Scalar] = {
    "projection": 768,
    "width": 192,
    "groups": GROUPS,
    "dropout": 0.2,
    "temperature": 0.02,
    "contrast": 1.0,
}

OPTION_HELP = {
    "projection": "channels of the result",
    "width": "channels within a bottleneck",
    "groups": "groups of its norms, of which channels and width are multiples",
    "dropout": "share of the features that a step leaves out",
    "temperature": "of the soft-argmax that predicts points",
    "contrast": "weight of the contrastive loss, beside 1 of the end-point error",
}


def padded_frame(size: Size, settings: TrainingSettings) -> Frame:
    """The frame of the padded picture."""
    return Frame.padded(size, settings.image_size)


def make_network(tensors: Tensors, settings: TrainingSettings) -> AggregationNetwork:
    """A new head for the levels that tensors tell of. Raises `UserError` where sizes do not fit."""
    groups = settings.whole("groups")
    for name in ("projection", "width"):
        if groups < 1 or settings.whole(name) < 1 or settings.whole(name) % groups:
            raise UserError(
                f"{name}={settings.whole(name)}, groups={groups}: not so many groups of equal size; "
                f"take a multiple of groups"
            )
    network = AggregationNetwork(
        AggregationShape(
            channels=tuple(tensor.shape[0] for tensor in tensors.values()),
            projection=settings.whole("projection"),
            width=settings.whole("width"),
            groups=groups,
        )
    )
    for module in network.modules():
        if isinstance(module, NormedConvolution):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def groups(network: nn.Module) -> ParameterGroups:
    """Everything at one rate; the backbone is no part of the network."""
    return ParameterGroups(list(network.parameters()))


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """The head's tensors, as in the authors' files, and the groups that their shapes do not tell."""
    assert isinstance(network, AggregationNetwork)
    return network.state_dict(), {"groups": network.shape.groups}


def aggregate(network: AggregationNetwork, features: Tensor, dropout: float) -> Tensor:
    """Results (B, projection, h, w) of length 1 for features (B, C, h, w), a share of which is left out."""
    return F.normalize(network(F.dropout(features, dropout, training=network.training)), dim=1, eps=1e-10)


def cells_of(points: Tensor, side: int, grid: Size) -> Tensor:
    """Points (N, 2) in pixels of a square frame -> (N, 2) in cells of the grid, whose edge is 0."""
    return points / side * torch.tensor(grid, dtype=points.dtype, device=points.device)


def read_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Features (N, C) of a map (C, h, w) at the cells that positions (N, 2) fall into."""
    height, width = maps.shape[-2:]
    x, y = cells.floor().long().unbind(1)
    return maps[:, y.clamp(0, height - 1), x.clamp(0, width - 1)].T


def lose_at_cells(
    network: AggregationNetwork,
    batch: Batch,
    settings: TrainingSettings,
    pairs: list[tuple[Tensor, Tensor]],
) -> Losses:
    """The end-point error and the contrastive loss of pairs of points, as GeoAware-SC's program has them.

    Args:
        pairs: for each pair of pictures, positions (N, 2) in cells of source and target, from the grid's
            edge; N may be 0.
    """
    count, dropout = len(batch), settings.number("dropout")
    maps = aggregate(network, torch.cat([batch.source, batch.target]), dropout)
    scale = network.get_parameter("logit_scale").exp()
    errors, contrasts = [], []
    for source, target, (start, goal) in zip(maps[:count], maps[count:], pairs, strict=True):
        if not len(start):
            continue
        queries, answers = read_cells(source, start), read_cells(target, goal)
        errors.append(_end_point_error(queries, target, start, goal, settings.number("temperature")))
        contrasts.append(_contrast(queries, answers, scale))
    if not errors:
        # Such a step teaches nothing.
        nothing = maps.sum() * 0
        return {"loss": nothing, "end_point": nothing, "contrast": nothing}
    error, contrast = torch.stack(errors).mean(), torch.stack(contrasts).mean()
    loss = error + settings.number("contrast") * contrast
    return {"loss": loss, "end_point": error, "contrast": contrast}


def _end_point_error(
    queries: Tensor, target: Tensor, start: Tensor, goal: Tensor, temperature: float
) -> Tensor:
    """Mean distance, in cells, of displacements by soft-argmax over the whole target from the true ones."""
    height, width = target.shape[-2:]
    weights = (queries @ target.flatten(1) / temperature).softmax(1).unflatten(1, (height, width))
    columns = torch.arange(width, dtype=weights.dtype, device=weights.device)
    rows = torch.arange(height, dtype=weights.dtype, device=weights.device)
    x, y = (weights.sum(1) * columns).sum(1), (weights.sum(2) * rows).sum(1)
    # A displacement begins at the source's whole cell, the true one at the point itself.
    wrong = torch.stack([x, y], dim=1) - start.floor() - (goal - start)
    return (wrong.square().sum(1) + 1e-12).sqrt().mean()


def _contrast(queries: Tensor, answers: Tensor, scale: Tensor) -> Tensor:
    """Cross entropy of each point among the others of the picture, in either direction (as CLIP's)."""
    logits = scale * queries @ answers.T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
