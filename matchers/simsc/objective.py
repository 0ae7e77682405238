"""SimSC's training: the distance of keypoints that soft-argmax at the learned temperature predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from baselines.sources import IBOT
from harness.errors import UserError
from harness.frames import Frame, PatchGrid, Size
from harness.localizers.on_grid import SoftArgmax
from harness.specs import Lattice, Matches, Scalar
from matchers.backbones.inputs import stretched_prepare
from matchers.simsc.files import BackboneTensors, file_of, make_simsc, read_backbone
from matchers.simsc.names import SOURCE, Kind
from matchers.simsc.network import SimSc, Temperature
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings

READING = SoftArgmax(temperature=1.0)
"""The recipe's own: what is trained is what is measured."""


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Mean distance of predicted and true keypoints, over the side of the input: SimSC's end-point error."""
    assert isinstance(network, SimSc)
    side = batch.source.shape[-1]
    count = len(batch)
    # In one pass: source and target go through the same network.
    maps = network.encode(torch.cat([batch.source, batch.target]))
    cosines_over_temperature = network.match(maps[:count], maps[count:])
    patch = network.card.patch
    distances = []
    for volume, source, target in zip(
        cosines_over_temperature, batch.source_points, batch.target_points, strict=True
    ):
        cells = Size(volume.shape[1], volume.shape[0])
        lattice = Lattice(Frame.unchanged(Size(side, side)), cells, PatchGrid(patch, patch))
        predicted = READING.read(Matches(lattice, lattice, volume=volume), source.double()).points
        # The constant keeps the root's gradient finite where a prediction is exact.
        distances.append(((predicted - target).square().sum(1) / side**2 + 1e-12).sqrt().mean())
    loss = torch.stack(distances).mean()
    return {"loss": loss, "temperature": network.temperature.logarithm.detach().exp()}


def make_network(tensors: Tensors, settings: TrainingSettings) -> SimSc:
    """The network with the backbone's tensors, and a temperature that has learned nothing."""
    if not isinstance(tensors, BackboneTensors):
        raise TypeError("SimSC starts from the tensors that `read_backbone` reads")
    temperature = Temperature(cast("Kind", settings.options["temperature"]), settings.number("start"))
    # Copies: transformers takes tensors as they are, and training would change those that were given.
    own = BackboneTensors({name: part.clone() for name, part in tensors.items()}, tensors.configuration)
    network = make_simsc(own, temperature, "the backbone of SimSC")
    patch = network.card.patch
    if settings.image_size % patch:
        raise UserError(
            f"image_size={settings.image_size}: not a whole number of patches of {patch} pixels; "
            f"take {settings.image_size // patch * patch}"
        )
    return network


def groups(network: nn.Module) -> ParameterGroups:
    """The temperature at the head's rate, and the whole backbone at its own."""
    assert isinstance(network, SimSc)
    return ParameterGroups(list(network.temperature.parameters()), list(network.backbone.parameters()))


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """Everything that the method reads."""
    assert isinstance(network, SimSc)
    return file_of(network, settings.image_size, bool(settings.options["half"]))


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=384,
    optimizer="adam",
    rate=1e-3,
    backbone_rate=1e-5,
    batch=8,
    epochs=4,
    decay="cosine",
    clip=1.0,
    options={"temperature": "single", "start": 0.05, "half": False},
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 152,
        "rate": 1e-2,
        "backbone_rate": 1e-4,
        "epochs": None,
        "steps": 160,
        "options": {**PUBLISHED.options, "half": True},
    }
)

OBJECTIVE = Objective(
    method=SOURCE,
    source=SOURCE,
    start=IBOT,
    read_start=read_backbone,
    published=PUBLISHED,
    small=SMALL,
    prepare=lambda settings: stretched_prepare(settings.image_size),
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help={
        "temperature": "what the temperature is learned for: single (all pictures), mlp (a pair), "
        "per-pixel (a source cell)",
        "start": "temperature before anything is learned",
        "half": "whether the file holds the backbone in half precision",
    },
    notes=(
        "A re-implementation from the paper's idea; the authors' settings are not known, and these are ours. "
        "The loss reads the scores as the method's own localizer does."
    ),
)
