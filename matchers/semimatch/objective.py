"""SemiMatch's training: CATs' loss at keypoints, and the network's own sure matches as labels elsewhere."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from harness.errors import UserError
from matchers.backbones.checkpoints import read_checkpoint
from matchers.cats import objective as cats
from matchers.cats.files import BACKBONE
from matchers.cats.spec import SOURCE as START
from matchers.semimatch.spec import SOURCE, TEMPERATURE
from matchers.training.objective import Batch, Losses, Objective, Tensors, TrainingSettings


def make_network(tensors: Tensors, settings: TrainingSettings) -> cats.TrainedCats:
    """CATs' network with the tensors of one that was trained already.

    Raises:
        UserError: they are not those of a network of these settings.
    """
    backbone = {name.removeprefix(BACKBONE): t for name, t in tensors.items() if name.startswith(BACKBONE)}
    network = cats.make_network(backbone, settings)
    state = network.state_dict()
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    for name in state.keys() - counters:
        given = tensors.get(name)
        if given is None:
            raise UserError(f"weights {START}: tensor {name} is missing; give those of a trained CATs")
        if given.shape != state[name].shape:
            raise UserError(
                f"weights {START}: tensor {name} is of shape {tuple(given.shape)}, and these settings ask "
                f"for {tuple(state[name].shape)}; give levels, grid and the others as that CATs has them"
            )
    network.load_state_dict({name: tensors[name] for name in state.keys() - counters}, strict=False)
    return network


def change_strongly(pixels: Tensor, settings: TrainingSettings, generator: torch.Generator) -> Tensor:
    """Normalised pixels (B, 3, s, s) with other colours, noise, and a square of each picture left blank."""
    batch, channels, side, _ = pixels.shape
    gain = 1 + 0.3 * torch.randn(batch, channels, 1, 1, generator=generator)
    offset = 0.3 * torch.randn(batch, channels, 1, 1, generator=generator)
    noise = 0.2 * torch.randn(pixels.shape, generator=generator)
    hidden = max(1, round(settings.number("hidden") * side))
    corners = torch.randint(side - hidden + 1, (batch, 2), generator=generator)
    positions = torch.arange(side)
    across, down = (
        (positions >= corners[:, axis, None]) & (positions < corners[:, axis, None] + hidden)
        for axis in (0, 1)
    )
    is_seen = ~(down[:, :, None] & across[:, None, :])[:, None]
    changed = pixels * gain.to(pixels) + offset.to(pixels) + noise.to(pixels)
    return changed * is_seen.to(pixels)


def label(volume: Tensor, settings: TrainingSettings) -> tuple[Tensor, Tensor]:
    """Target cells (B, S) that the network matches source cells with, and where it is sure of them.

    It is sure where a match's probability is high, and where the target cell's own match is the source cell
    again, or one beside it.

    Args:
        volume: (B, g, g, g, g).
    """
    grid = volume.shape[1]
    scores = volume.flatten(3).flatten(1, 2) / settings.number("temperature")
    best, goals = scores.softmax(2).max(2)
    back = scores.argmax(1).gather(1, goals)
    own = torch.arange(grid * grid, device=volume.device)
    rows, columns = (back // grid - own // grid).abs(), (back % grid - own % grid).abs()
    is_mutual = torch.maximum(rows, columns) <= settings.number("reach")
    return goals, (best >= settings.number("sure")) & is_mutual


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """CATs' end-point error plus the cross-entropy with the labels that the unchanged pictures give."""
    trained = cast("cats.TrainedCats", network)
    volume = trained.volume(batch.source, batch.target)
    temperature = settings.number("temperature")
    keypoints = cats.end_point_error(volume, batch, temperature)
    goals, is_sure = label(volume.detach(), settings)
    changed = [change_strongly(each, settings, generator) for each in (batch.source, batch.target)]
    scores = trained.volume(changed[0], changed[1]).flatten(3).flatten(1, 2) / temperature
    errors = torch.nn.functional.cross_entropy(scores.transpose(1, 2), goals, reduction="none")
    labels = (errors * is_sure).sum() / is_sure.sum().clamp(min=1)
    loss = keypoints + settings.number("weight") * labels
    return {"loss": loss, "keypoints": keypoints, "labels": labels, "sure": is_sure.float().mean()}


OPTIONS = {"temperature": TEMPERATURE, "weight": 0.1, "sure": 0.5, "reach": 1, "hidden": 0.25}

PUBLISHED = cats.PUBLISHED.model_copy(
    update={
        "rate": 1e-6,
        "backbone_rate": 1e-6,
        "options": {**cats.PUBLISHED.options, **OPTIONS},
    }
)

SMALL = cats.SMALL.model_copy(
    update={
        "rate": 3e-4,
        "backbone_rate": 1e-4,
        "steps": 250,
        "options": {**cats.SMALL.options, **OPTIONS},
    }
)

OBJECTIVE = Objective(
    method=SOURCE,
    source=SOURCE,
    start=START,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=cats.prepare_inputs,
    make_network=make_network,
    groups=cats.groups,
    loss=lose,
    checkpoint=cats.checkpoint,
    option_help={
        **cats.OPTION_HELP,
        "weight": "of the network's own labels, beside the keypoints",
        "sure": "least probability of a match that becomes a label",
        "reach": "cells by which the match of a match may miss",
        "hidden": "side of the square left blank in each changed picture, over the picture's",
    },
    notes=(
        "From CATs' trained network, as the authors do: it labels the unchanged pictures, where it is sure "
        "and matches agree in both directions, and learns to find the same matches in changed ones. Ours: "
        "the labelling network is the learning one without its gradient; the changes of pictures, the limits "
        "of what is sure, the loss of labels and its weight, and the rate of the backbone. Keypoints are "
        "learned from as by CATs."
    ),
)
