"""MARCO's training with keypoints: where the softmax of products puts each point, from wide to narrow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn

from baselines.vit.positions import use_authors_positions
from harness.errors import UserError
from harness.frames import Frame, Size, pixels_to_cells
from harness.localizers.similarity import sample
from harness.specs import Scalar
from heads.marco.files import check_fit
from heads.marco.inputs import Fit, input_frame, preparation
from heads.marco.names import BACKBONE, SOURCE
from heads.marco.network import HeadShape, Marco, MarcoHead
from matchers.simsc.files import BackboneTensors, make_backbone, make_card, read_backbone
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings

SUBJECT = "the backbone of MARCO"

FLOOR = 1e-6
"""Added to every probability before its logarithm."""


class TrainedMarco(Marco):
    """MARCO whose backbone stays as it is in use."""

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of the head."""
        super().train(mode)
        self.backbone.eval()
        return self


def make_network(tensors: Tensors, settings: TrainingSettings) -> TrainedMarco:
    """A backbone filled with its tensors, and a new head: its adapters add nothing at first.

    Raises:
        UserError: the settings do not fit each other or the backbone.
    """
    if not isinstance(tensors, BackboneTensors):
        raise TypeError("MARCO starts from the tensors that `read_backbone` reads")
    # Copies: transformers takes tensors as they are, and training would change those that were given.
    own = BackboneTensors({name: part.clone() for name, part in tensors.items()}, tensors.configuration)
    card = make_card(own.configuration, SUBJECT)
    if settings.image_size % card.patch:
        raise UserError(
            f"image_size={settings.image_size}: not a whole number of patches of {card.patch} pixels; "
            f"take {settings.image_size // card.patch * card.patch}"
        )
    shape = chosen_shape(settings, card.width, card.layers)
    check_fit(shape, card, "first_block, inner: ", SUBJECT)
    backbone = make_backbone(own, SUBJECT)
    use_authors_positions(backbone, card, card.position_offset())
    head = MarcoHead(shape)
    for block in shape.adapters:
        adapter = head.adapter(block)
        for name, parameter in adapter.named_parameters():
            if name.startswith("up_proj") or name == "down_proj.bias":
                nn.init.zeros_(parameter)
    return TrainedMarco(backbone, card, head)


def chosen_shape(settings: TrainingSettings, width: int, layers: int) -> HeadShape:
    """Sizes of the head that options ask for. Raises `UserError` where there is no such head."""
    first, inner = settings.whole("first_block"), round(width * settings.number("inner"))
    enlargements = settings.whole("enlargements")
    if not 0 <= first < layers:
        raise UserError(f"first_block={first}: {SUBJECT} has blocks 0 to {layers - 1}")
    if inner < 1 or enlargements < 1:
        raise UserError(
            f"inner={settings.options['inner']}, enlargements={enlargements}: an adapter has at least one "
            "channel, and a map is enlarged at least once; choose larger numbers"
        )
    return HeadShape(width, dict.fromkeys(range(first, layers), inner), enlargements)


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Mean over all keypoints of the batch of `spread_cross_entropy`."""
    assert isinstance(network, TrainedMarco)
    # In one pass: source and target go through the same network.
    sources, targets = network(torch.cat([batch.source, batch.target])).chunk(2)
    sigma = sigma_at(batch.step, settings)
    reach, temperature = settings.whole("kernel") // 2, settings.number("temperature")
    side, losses = batch.source.shape[-1], []
    for source, target, start, goal in zip(
        sources, targets, batch.source_points, batch.target_points, strict=True
    ):
        probabilities = transfer(source, target, start, side, temperature)
        cells = Size(target.shape[-1], target.shape[-2])
        centres = pixels_to_cells(goal, Size(side, side), cells, "corner")
        losses.append(spread_cross_entropy(probabilities, centres, sigma, reach))
    every = torch.cat(losses)
    # A batch may hold pairs without keypoints alone.
    loss = every.mean() if len(every) else sources.sum() * 0
    return {"loss": loss, "sigma": torch.tensor(sigma)}


def transfer(source: Tensor, target: Tensor, points: Tensor, side: int, temperature: float) -> Tensor:
    """Probabilities (N, h, w) of the target's cells for points (N, 2) in pixels of the source's square.

    Points are read as the method's localizer reads them, at x w / W.
    """
    cells = Size(source.shape[-1], source.shape[-2])
    positions = pixels_to_cells(points, Size(side, side), cells, "patch-centre") + 0.5
    products = sample(source, positions) @ target.flatten(1)
    probabilities: Tensor = (products / temperature).softmax(dim=1)
    return probabilities.view(-1, *target.shape[1:])


def spread_cross_entropy(probabilities: Tensor, centres: Tensor, sigma: float, reach: int) -> Tensor:
    """Cross-entropies (N) of probabilities (N, h, w) with Gaussians around cells (N, 2).

    The Gaussian is looked at in whole cells from the centre, up to `reach` to every side, and not beyond the
    outermost cells. It is that of the plane, of total weight 1, and is not made to add up to 1 over what is
    left.

    Args:
        sigma: of the Gaussian, in cells.
    """
    height, width = probabilities.shape[1:]
    steps = torch.arange(-reach, reach + 1, device=centres.device, dtype=centres.dtype)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).flatten(0, 1)
    weights = torch.exp(-offsets.square().sum(1) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    places = centres[:, None] + offsets
    inner = torch.tensor([width - 1, height - 1], device=centres.device)
    is_inside = ((places > 0) & (places < inner)).all(-1)
    losses = []
    for probability, place, inside in zip(probabilities, places, is_inside, strict=True):
        read = sample(probability[None], place)[:, 0]
        losses.append(-(weights * inside * torch.log(read + FLOOR)).sum())
    return torch.stack(losses) if losses else probabilities.new_zeros(0)


def sigma_at(step: int, settings: TrainingSettings) -> float:
    """Sigma of a step, counted from 0: constant at first, then by a half cosine down to its last value."""
    first, last = settings.number("sigma"), settings.number("last_sigma")
    held, narrowed = settings.whole("held_steps"), settings.whole("narrowed_steps")
    share = min(1.0, max(0.0, (step - held) / max(1, narrowed - held)))
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def groups(network: nn.Module) -> ParameterGroups:
    """The head alone: the backbone is frozen."""
    assert isinstance(network, Marco)
    return ParameterGroups(list(network.head.parameters()))


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """The head's tensors, as in the authors' files, and how its pictures were prepared."""
    assert isinstance(network, Marco)
    return network.head.state_dict(), {
        "image_size": settings.image_size,
        "fit": settings.options["fit"],
    }


def read_start(path: Path) -> Tensors:
    """Tensors of the backbone. Raises `UserError` where the folder holds none."""
    return read_backbone(path)


def chosen_fit(settings: TrainingSettings) -> Fit:
    """How pictures fill the square. Raises `UserError` for a way that there is not."""
    fit = settings.options["fit"]
    if fit not in ("pad", "stretch"):
        raise UserError(f"fit={fit}: not one of pad, stretch")
    return cast("Fit", fit)


def frame_of(size: Size, settings: TrainingSettings) -> Frame:
    """Where a picture lies in the network's input."""
    return input_frame(size, settings.image_size, chosen_fit(settings))


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=630,
    optimizer="adamw",
    rate=1e-4,
    batch=12,
    epochs=8,
    clip=0.1,
    options={
        "fit": "pad",
        "first_block": 15,
        "inner": 0.5,
        "enlargements": 2,
        "temperature": 10.0,
        "kernel": 15,
        "sigma": 3.5,
        "last_sigma": 1.0,
        "held_steps": 1000,
        "narrowed_steps": 12000,
    },
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 144,
        "rate": 1e-3,
        "batch": 8,
        "epochs": None,
        "steps": 100,
        "decay": "cosine",
        "clip": 1.0,
        # The last third of six blocks, and a map of 72 cells.
        "options": {
            **PUBLISHED.options,
            "first_block": 4,
            "kernel": 11,
            "sigma": 2.5,
            "held_steps": 10,
            "narrowed_steps": 75,
        },
    }
)

OPTION_HELP = {
    "fit": "how a picture fills the square: pad or stretch",
    "first_block": "first block with an adapter, from 0; all later ones have one",
    "inner": "width inside an adapter, as a share of a token's",
    "enlargements": "how many times the sides of the map are doubled",
    "temperature": "of the softmax over dot products",
    "kernel": "side in cells of the square in which a point's Gaussian is looked at",
    "sigma": "of that Gaussian at first, in cells",
    "last_sigma": "of that Gaussian in the end, in cells",
    "held_steps": "steps before it becomes narrower",
    "narrowed_steps": "steps after which it has its last width",
}

OBJECTIVE = Objective(
    method=SOURCE,
    source=SOURCE,
    start=BACKBONE,
    read_start=read_start,
    published=PUBLISHED,
    small=SMALL,
    prepare=lambda settings: preparation(settings.image_size, chosen_fit(settings)),
    frame=frame_of,
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help=OPTION_HELP,
    notes=(
        "The authors' loss with keypoints, from wide Gaussians to narrow ones. Left out: their second loss, "
        "for which a teacher that follows the network finds matches between the key points, within masks of "
        "the objects; what it adds on points that nobody annotated is therefore missing. Pictures are padded "
        "as the recipe does, also where the authors' loader stretches (--set fit=stretch)."
    ),
)
