"""TransforMatcher's training: distances of transferred keypoints, the backbones tuned along."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from harness.specs import Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretched_prepare
from matchers.backbones.paired import PairedResNet
from matchers.localizers.neighbours import Reach
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings
from matchers.training.transferred import mean_of_pairs, transferred_offsets
from matchers.transformatcher.network import (
    DEPTH,
    FIRST_LAYER,
    GROWTH,
    HEAD_WIDTH,
    HEADS,
    IMAGE_SIZE,
    WIDTH,
    MatchToMatch,
    TransforMatcher,
)
from matchers.transformatcher.spec import SOURCE

SIGMA, REACH = 10.0, Reach(0.1, constant=1e-5)
"""Of the reading in training; later it reaches half as far."""


GAIN = 40.0
"""Score of a match that a training begins with, over the mean cosine of the levels."""


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Mean distance of transferred keypoints, where images are from -1 to 1."""
    offsets = transferred_offsets(network(batch.source, batch.target), batch, SIGMA, REACH)
    return {"loss": mean_of_pairs([torch.linalg.vector_norm(offset, dim=-1) for offset in offsets])}


def make_network(tensors: Tensors, settings: TrainingSettings) -> TransforMatcher:
    """Backbones filled with tensors, and a new head for their levels."""
    backbone = PairedResNet.of_single(tensors)
    levels = backbone.source.last_level + 1 - backbone.source.levels_of(FIRST_LAYER)[0]
    width = settings.whole("width")
    head = MatchToMatch(
        levels,
        width,
        settings.whole("depth"),
        settings.whole("heads"),
        HEAD_WIDTH,
        GROWTH * width,
    )
    begin_as_mean(head)
    return TransforMatcher(backbone, head)


def begin_as_mean(head: MatchToMatch) -> None:
    """Sets the head so that a match's score is the mean cosine of the levels, times GAIN.

    From random weights all scores are alike, so that the softmax takes every point to the middle of the
    picture; the first feature of a token carries the mean, and what blocks add to it is learned.
    """
    embedding, original = head.to_embedding[1], head.to_original[0]
    assert isinstance(embedding, nn.Linear) and isinstance(original, nn.Linear)
    with torch.no_grad():
        embedding.weight[0] = 1 / embedding.in_features
        embedding.bias[0] = 0
        original.weight.zero_()
        original.weight[0, 0] = GAIN
        original.bias.zero_()
        for block in head.trans_nc:
            assert isinstance(block, nn.ModuleList)
            for layer in block:
                last = [module for module in layer.modules() if isinstance(module, nn.Linear)][-1]
                last.weight.zero_()
                last.bias.zero_()


def groups(network: nn.Module) -> ParameterGroups:
    """The head, and the backbones at their own rate."""
    assert isinstance(network, TransforMatcher)
    return ParameterGroups(list(network.match2match.parameters()), list(network.backbone.parameters()))


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """All tensors under the authors' names, and the size of the input."""
    assert isinstance(network, TransforMatcher)
    return network.state_to_save(), {"image_size": settings.image_size}


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=IMAGE_SIZE,
    optimizer="adam",
    rate=1e-3,
    backbone_rate=1e-5,
    batch=16,
    epochs=10,
    colours=True,
    options={"width": WIDTH, "depth": DEPTH, "heads": HEADS},
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 160,
        "rate": 3e-3,
        "backbone_rate": 1e-4,
        "batch": 8,
        "epochs": None,
        "steps": 250,
        "decay": "cosine",
        "colours": False,
        "options": {**PUBLISHED.options, "depth": 2},
    }
)

OBJECTIVE = Objective(
    method=SOURCE,
    source=SOURCE,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=lambda settings: stretched_prepare(settings.image_size),
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help={
        "width": "features of a match",
        "depth": "pairs of attention and feed-forward blocks",
        "heads": "heads of the attention",
    },
    notes=(
        "Distances are averaged within a pair and then over pairs. The backbones' batch norms keep the "
        "statistics that they start with. Ours: the head begins as the mean of the levels' cosines."
    ),
)
