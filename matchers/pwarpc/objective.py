"""PWarpC's training: matches by way of another picture agree with a known warp, and a bin takes the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import PIL.Image
import torch
from torch import Tensor, nn

from harness.specs import Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretch_area
from matchers.ncnet import objective as ncnet
from matchers.pwarpc import warps
from matchers.pwarpc.network import Bin, PWarpCNCNet
from matchers.pwarpc.spec import SOURCE
from matchers.pwarpc.warps import draw_warps, known_matches
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings

_LEAST = 1e-8
"""Stands for probabilities below it, whose logarithm would outweigh all others."""


class TrainedPWarpC(PWarpCNCNet):
    """A PWarpC-NCNet that is trained: its NCNet's backbone stays in evaluation."""

    matching_model: ncnet.TrainedNCNet

    def probabilities(self, source: Tensor, target: Tensor) -> Tensor:
        """Features (B, C, h, w) of both -> (B, S + 1, T), for each target cell, of source cells and none."""
        assert self.bin_model is not None
        correlation = self.matching_model.match(source, target)
        probabilities: Tensor = self.bin_model(correlation.flatten(3).flatten(1, 2))
        return probabilities


def make_network(tensors: Tensors, settings: TrainingSettings) -> TrainedPWarpC:
    """A backbone filled with a ResNet's tensors, a new consensus, and a bin."""
    return TrainedPWarpC(ncnet.TrainedNCNet.start(tensors, settings), Bin(settings.number("bin")))


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Weighted sum of three losses.

    With A' a warped A, and B another picture of A's category: `path` wants matches of A' in B, followed to A,
    to be those that the warp knows; `warp` wants that of the direct matches of A' in A; `none` wants cells of
    a picture of another category to match nothing in A.
    """
    assert isinstance(network, TrainedPWarpC)
    drawn = draw_warps(len(batch), settings, generator, batch.target)
    features = network.matching_model.features
    original, other = features(batch.target), features(batch.source)
    warped = features(drawn.apply(batch.target))
    weights, is_inside = known_matches(drawn, *_cells(original))
    in_other = network.probabilities(other, warped)[:, :-1]
    in_original = network.probabilities(original, other)[:, :-1]
    composed = in_original @ in_other
    direct = network.probabilities(original, warped)[:, :-1]
    is_visible = choose_visible((weights * composed).sum(1).detach(), is_inside, settings.number("visible"))
    losses = {
        "path": cross_entropy(composed, weights, is_visible),
        "warp": cross_entropy(direct, weights, is_inside),
        "none": original.new_zeros(()),
    }
    rows = batch.negatives(generator)
    chosen = (rows >= 0).nonzero()[:, 0]
    if len(chosen):
        # `negatives` names rows of targets.
        no_match = network.probabilities(original[rows[chosen]], other[chosen])[:, -1]
        losses["none"] = -no_match.clamp(min=_LEAST).log().mean()
    total = original.new_zeros(())
    for name, part in losses.items():
        total = total + settings.number(f"{name}_weight") * part
    return {"loss": total, **losses}


def _cells(features: Tensor) -> tuple[int, int]:
    return features.shape[2], features.shape[3]


def cross_entropy(probability: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    """Mean over the cells that count of -sum(weights log probability) over source cells.

    Args:
        probability, weights: (B, S, T).
        counts: (B, T) of bool.
    """
    entropy = -(weights * probability.clamp(min=_LEAST).log()).sum(1)
    return (entropy * counts).sum() / counts.sum().clamp(min=1)


def choose_visible(probability: Tensor, is_inside: Tensor, share: float) -> Tensor:
    """The share of each pair's cells inside whose known match is the most probable one, (B, T) of bool.

    What the other picture does not show has no match there, and no way through it.

    Args:
        probability: (B, T) of the known match by way of the other picture.
    """
    order = probability.masked_fill(~is_inside, -1).argsort(dim=1, descending=True)
    rank = order.argsort(dim=1)
    number = (is_inside.sum(1, keepdim=True) * share).round()
    return (rank < number) & is_inside


def groups(network: nn.Module) -> ParameterGroups:
    """The consensus, the bin, and the blocks of the backbone that are tuned."""
    assert isinstance(network, TrainedPWarpC)
    parts = ncnet.groups(network.matching_model)
    assert network.bin_model is not None
    return ParameterGroups([*parts.head, *network.bin_model.parameters()], parts.backbone)


def prepare(settings: TrainingSettings) -> Callable[[PIL.Image.Image], Tensor]:
    """Stretches by means over areas."""
    return partial(stretch_area, side=settings.image_size)


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """All tensors, the backbone's included, and the side of the input."""
    return network.state_dict(), {"image_size": settings.image_size}


_WEIGHTS: dict[str, Scalar] = {"path_weight": 1.0, "warp_weight": 1.0, "none_weight": 1.0}

_OPTIONS: dict[str, Scalar] = {"bin": 8.0, "visible": 0.7, **_WEIGHTS, **warps.OPTIONS}

PUBLISHED = ncnet.PUBLISHED.model_copy(update={"options": {**ncnet.PUBLISHED.options, **_OPTIONS}})

SMALL = ncnet.SMALL.model_copy(update={"batch": 4, "options": {**ncnet.SMALL.options, **_OPTIONS}})

OBJECTIVE = Objective(
    method="pwarpc-ncnet",
    source=SOURCE,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=prepare,
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help={
        **ncnet.OPTION_HELP,
        "bin": "score of no match that the training begins with",
        "visible": "share of the warped picture's cells whose way through the other picture counts",
        "path_weight": "weight of matches by way of the other picture",
        "warp_weight": "weight of direct matches of a picture and its warped copy",
        "none_weight": "weight of pictures of another category, whose cells match nothing",
        **warps.OPTION_HELP,
    },
    notes=(
        "The three losses are those of the paper: the probabilities of matches by way of another picture, "
        "and the direct ones, as cross-entropy with the known warp, the first for the cells that are most "
        "probably visible there, and a bin that takes the cells of another category. Ours, since the paper's "
        "settings were not at hand: the random warps (a turn, zooms, a shift and bends of 4 x 4 points), the "
        "share of visible cells, equal weights of the losses, the bin's first score, and NCNet's optimiser, "
        "rate, batch and epochs. The consensus begins as a random blur. The warped copy is made of the "
        "network's input."
    ),
)
