"""CATs' training with keypoints: the end-point error of the flow at the cells that keypoints name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Self

import PIL.Image
import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.specs import Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretched_prepare
from matchers.backbones.resnet import ResNet
from matchers.cats.files import PUBLISHED_LEVELS, PUBLISHED_SIDE
from matchers.cats.network import HEADS, Cats, HeadShape
from matchers.cats.spec import SOURCE
from matchers.cats.targets import sparse_flow
from matchers.localizers.flow_pixel import flow_of_volume
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings

_LAYER = re.compile(r"layer(\d+)\.")


class TrainedCats(Cats):
    """CATs whose backbone keeps the means of its batch norm."""

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of the head."""
        super().train(mode)
        self.feature_extraction.eval()
        return self

    def volume(self, source: Tensor, target: Tensor) -> Tensor:
        """Refined correlations (B, g, g, g, g) of the pictures of pairs, in the harness's direction."""
        ours, theirs = self.encode(source), self.encode(target)
        # The authors' source is looked up from their target, which is the harness's source.
        refined = self.refine(theirs, ours).transpose(1, 2)
        return refined.reshape(len(refined), *(self.shape.grid,) * 4)


def make_backbone(tensors: Tensors, levels: tuple[int, ...]) -> ResNet:
    """A ResNet filled with tensors, without the layers beyond the last level that is read.

    Raises:
        UserError: there is no such level, or the tensors are not a ResNet's.
    """
    whole = ResNet.like(tensors)
    whole.check_levels(levels)
    numbers = range(1, len(whole.blocks) + 1)
    last = next((number for number in numbers if max(levels) in whole.levels_of(number)), 1)
    read = {name: tensor for name, tensor in tensors.items() if _layer_of(name) <= last}
    return ResNet.like(read).load(read)


def _layer_of(name: str) -> int:
    match = _LAYER.match(name)
    return int(match[1]) if match else 0


def chosen_levels(settings: TrainingSettings) -> tuple[int, ...]:
    """The backbone's levels that an option lists. Raises `UserError` where they are no whole numbers."""
    text = str(settings.options["levels"])
    try:
        return tuple(int(level) for level in text.split(","))
    except ValueError as error:
        raise UserError(f"levels: '{text}' are not whole numbers with commas between them") from error


def make_network(tensors: Tensors, settings: TrainingSettings) -> TrainedCats:
    """A backbone filled with a ResNet's tensors, and a new head for its levels.

    Raises:
        UserError: the settings do not fit each other or the backbone.
    """
    levels = chosen_levels(settings)
    backbone = make_backbone(tensors, levels)
    shape = HeadShape(
        tuple(backbone.channels[level] for level in levels),
        grid=settings.whole("grid"),
        projection=settings.whole("projection"),
        depth=settings.whole("depth"),
        heads=settings.whole("heads"),
        ratio=settings.whole("ratio"),
    )
    if shape.width % (2 * shape.heads):
        raise UserError(
            f"grid, projection, heads: a width of {shape.width} (grid x grid + projection) does not halve, "
            f"or is not that of {shape.heads} heads; choose another projection"
        )
    network = TrainedCats(backbone, shape, levels)
    # The transformer adds nothing at first: what it refines is the backbone's own correlation.
    nn.init.zeros_(network.decoder.proj.weight)
    nn.init.zeros_(network.decoder.proj.bias)
    return network


def end_point_error(volume: Tensor, batch: Batch, temperature: float) -> Tensor:
    """Mean distance, in cells, of flows from those that keypoints name, over the cells that have one.

    Args:
        volume: (B, g, g, g, g), source cells first.
    """
    flows = flow_of_volume(volume, temperature)
    grid, side = volume.shape[1], batch.source.shape[-1]
    errors = []
    for flow, start, goal in zip(flows, batch.source_points, batch.target_points, strict=True):
        wanted, is_known = sparse_flow(start, goal, grid, side)
        errors.append(torch.linalg.vector_norm(flow - wanted, dim=0)[is_known])
    distances = torch.cat(errors)
    # A batch may hold pairs without keypoints alone.
    return distances.mean() if len(distances) else volume.sum() * 0


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """The end-point error."""
    assert isinstance(network, TrainedCats)
    volume = network.volume(batch.source, batch.target)
    return {"loss": end_point_error(volume, batch, settings.number("temperature"))}


def groups(network: nn.Module) -> ParameterGroups:
    """The head at one rate, the backbone at another."""
    assert isinstance(network, Cats)
    backbone = list(network.feature_extraction.parameters())
    known = set(map(id, backbone))
    return ParameterGroups([value for value in network.parameters() if id(value) not in known], backbone)


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """The whole network's tensors, as in the authors' files, and what their shapes do not tell."""
    assert isinstance(network, Cats)
    levels = ",".join(str(level) for level in network.levels)
    scalars: dict[str, Scalar] = {
        "image_size": settings.image_size,
        "levels": levels,
        "heads": network.shape.heads,
    }
    return network.state_dict(), scalars


def prepare_inputs(settings: TrainingSettings) -> Callable[[PIL.Image.Image], Tensor]:
    """The function from a picture to the network's input."""
    return stretched_prepare(settings.image_size)


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=PUBLISHED_SIDE,
    optimizer="adamw",
    rate=3e-5,
    backbone_rate=3e-6,
    weight_decay=0.05,
    batch=32,
    epochs=100,
    milestones=(70, 80, 90),
    factor=0.5,
    colours=True,
    options={
        "levels": ",".join(str(level) for level in PUBLISHED_LEVELS[8]),
        "grid": 16,
        "projection": 128,
        "depth": 1,
        "heads": HEADS,
        "ratio": 4,
        "temperature": 0.02,
    },
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 128,
        "rate": 1e-3,
        "backbone_rate": 3e-4,
        "batch": 8,
        "epochs": None,
        "steps": 500,
        "milestones": (),
        "decay": "cosine",
        "clip": 1.0,
        "colours": False,
        # Stem, layer 2 and layer 3 of the small ResNet.
        "options": {
            **PUBLISHED.options,
            "levels": "0,4,5,6,7",
            "grid": 8,
            "projection": 32,
            "heads": 4,
            "ratio": 1,
        },
    }
)

OPTION_HELP = {
    "levels": "the ResNet's levels by hyperpixel index, with commas between them",
    "grid": "cells across and down on which all levels are matched",
    "projection": "channels to which each level's features are reduced for the transformer",
    "depth": "blocks of the transformer",
    "heads": "its attention heads",
    "ratio": "width of its hidden layers over its own",
    "temperature": "of the soft-argmax that makes a flow of the correlation",
}

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
    option_help=OPTION_HELP,
    notes=(
        "Settings are those for SPair-71k. A cell learns from all keypoints within 17/16 of a cell of its "
        "centre, as in the authors' program: from their mean to the goal of the last one. Differs: the "
        "backbone's batch norm keeps its means, the transformer's last layer begins with zeros, and layers "
        "that are not read are left out of the file. "
        "Source cells are looked up and target points predicted, as the recipe asks, while the authors' "
        "network looks up the target of each pair."
    ),
)
