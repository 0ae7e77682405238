"""SCorrSAN's training: the end-point error at keypoints, and two networks that label for each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from harness.specs import Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.cats.files import PUBLISHED_SIDE
from matchers.cats.objective import make_backbone, prepare_inputs
from matchers.cats.targets import sparse_flow
from matchers.formulas import resize_corners
from matchers.localizers.flow_pixel import expected_cells
from matchers.scorrsan.network import Scorrsan, ScorrsanShape, filter_cosines
from matchers.scorrsan.spec import SOURCE
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings


class Peers(nn.Module):
    """Two networks that begin with different heads; the first one is what a training makes."""

    def __init__(self, first: Scorrsan, second: Scorrsan) -> None:
        super().__init__()
        self.first, self.second = first, second

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of the heads; backbones keep the means of their batch norm."""
        super().train(mode)
        for network in (self.first, self.second):
            network.feature_extraction.eval()
        return self


def make_network(tensors: Tensors, settings: TrainingSettings) -> Peers:
    """Two networks on backbones filled with a ResNet's tensors. Raises `UserError` for an unknown level."""
    level = settings.whole("level")
    networks = []
    for _ in range(2):
        backbone = make_backbone(tensors, (level,))
        shape = ScorrsanShape(
            backbone.channels[level],
            width=settings.whole("width"),
            kernel=settings.whole("kernel"),
            grid=settings.whole("grid"),
        )
        networks.append(Scorrsan(backbone, shape, level))
    return Peers(*networks)


def correlate(network: Scorrsan, source: Tensor, target: Tensor) -> Tensor:
    """Mutually filtered cosines (B, h, w, h', w') of the pictures of pairs, before they are enlarged."""
    encoded = [network.encode(network.see(pixels)) for pixels in (source, target)]
    return filter_cosines(encoded[0], encoded[1])


def flow_at(volume: Tensor, cells: Tensor, grid: int, temperature: float) -> Tensor:
    """Flows (N, 2), in cells of the fine grid, at N of its source cells, counted row by row.

    The same numbers as those of the whole enlarged volume, of which only the rows of these cells are made.

    Args:
        volume: (h, w, h', w') of one pair.
    """
    height, width, rows, columns = volume.shape
    by_target = volume.view(height, width, rows * columns).permute(2, 0, 1)[None]
    by_source = resize_corners(by_target, (grid, grid))[0].flatten(1).T[cells]
    scores = resize_corners(by_source.reshape(-1, 1, rows, columns), (grid, grid))[:, 0]
    own = torch.stack([cells % grid, cells // grid], dim=1).to(volume)
    return expected_cells(scores, temperature) - own


def widen(is_known: Tensor, kernel: int) -> Tensor:
    """Cells (g, g) within a window of `kernel` x `kernel` around one that is known."""
    known = is_known[None, None].float()
    return torch.nn.functional.max_pool2d(known, kernel, 1, kernel // 2)[0, 0] > 0


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """The end-point errors of both networks, and their differences where they are least."""
    assert isinstance(network, Peers)
    peers = (network.first, network.second)
    volumes = [correlate(peer, batch.source, batch.target) for peer in peers]
    grid, side = network.first.shape.grid, batch.source.shape[-1]
    temperature = settings.number("temperature")
    is_labelling = has_begun(batch, settings)
    errors: list[list[Tensor]] = [[], []]
    differences: list[list[Tensor]] = [[], []]
    for pair, (start, goal) in enumerate(zip(batch.source_points, batch.target_points, strict=True)):
        wanted, is_known = sparse_flow(start, goal, grid, side)
        is_read = widen(is_known, settings.whole("dilation")) if is_labelling else is_known
        cells = is_read.flatten().nonzero()[:, 0]
        flows = [flow_at(volume[pair], cells, grid, temperature) for volume in volumes]
        known = is_known.flatten()[cells]
        expected = wanted.flatten(1).T[cells][known]
        for number, flow in enumerate(flows):
            errors[number].append(torch.linalg.vector_norm(flow[known] - expected, dim=1))
            others = flows[1 - number].detach()
            differences[number].append(torch.linalg.vector_norm(flow - others, dim=1)[~known])
    keypoints = sum_of_means(errors)
    labels = sum_of_means([[smallest(torch.cat(each), settings.number("remember"))] for each in differences])
    loss = keypoints + settings.number("weight") * labels
    return {"loss": loss, "keypoints": keypoints / 2, "labels": labels / 2}


def has_begun(batch: Batch, settings: TrainingSettings) -> bool:
    """Whether the networks label for each other at this step."""
    return batch.epoch >= settings.whole("label_epoch") and batch.step >= settings.whole("label_step")


def smallest(values: Tensor, share: float) -> Tensor:
    """The smallest of some values, so large a share of them."""
    return values.sort().values[: round(share * len(values))]


def sum_of_means(groups: list[list[Tensor]]) -> Tensor:
    """Sum over groups of the mean of all their values; a group without any counts as 0."""
    joined = [torch.cat(values) for values in groups]
    return torch.stack([values.sum() / max(1, len(values)) for values in joined]).sum()


def groups(network: nn.Module) -> ParameterGroups:
    """Both heads at one rate, both backbones at another."""
    assert isinstance(network, Peers)
    peers = (network.first, network.second)
    return ParameterGroups(
        [value for peer in peers for value in peer.SCEs.parameters()],
        [value for peer in peers for value in peer.feature_extraction.parameters()],
    )


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """The first network's tensors, as in the authors' files, and what their shapes do not tell."""
    assert isinstance(network, Peers)
    scalars: dict[str, Scalar] = {"image_size": settings.image_size, "level": network.first.level}
    return network.first.state_dict(), scalars


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=PUBLISHED_SIDE,
    optimizer="adamw",
    rate=3e-5,
    backbone_rate=3e-6,
    weight_decay=0.05,
    batch=16,
    epochs=50,
    options={
        "level": 30,
        "width": 2048,
        "kernel": 7,
        "grid": 64,
        "temperature": 0.02,
        "weight": 10.0,
        "dilation": 7,
        "remember": 0.2,
        "label_epoch": 4,
        "label_step": 0,
    },
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 128,
        "rate": 1e-3,
        "backbone_rate": 3e-4,
        "batch": 8,
        "epochs": None,
        "steps": 400,
        "decay": "cosine",
        "clip": 1.0,
        # The small ResNet's last block of layer 3, of 128 channels on 8 x 8 cells.
        "options": {
            **PUBLISHED.options,
            "level": 7,
            "width": 256,
            "grid": 32,
            "label_epoch": 0,
            "label_step": 200,
        },
    }
)

OBJECTIVE = Objective(
    method=SOURCE,
    source=SOURCE,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=prepare_inputs,
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help={
        "level": "the ResNet's level by hyperpixel index",
        "width": "channels of the context encoder",
        "kernel": "side of its window, in cells; odd",
        "grid": "cells across and down to which the correlation is enlarged",
        "temperature": "of the soft-argmax that makes a flow of the correlation",
        "weight": "of the labels that the networks give each other, beside the keypoints",
        "dilation": "side of the window around cells with keypoints, in which they do; odd, in cells",
        "remember": "share of those cells that is learned from, those with the least difference",
        "label_epoch": "passes over the pairs before they begin",
        "label_step": "steps before they begin",
    },
    notes=(
        "Settings are those for SPair-71k. Two networks learn from keypoints, as CATs does, on this finer "
        "grid; later each also learns from the other's flow in the cells around them, where the two differ "
        "least. Ours: which cells are remembered, as far as the settings do not say it; the mean of "
        "keypoints that share a cell, as CATs takes it; the backbone's batch norm keeps its means. Source "
        "cells are looked up and target points predicted, as the recipe asks. The file holds the first "
        "network."
    ),
)
