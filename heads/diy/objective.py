"""DIY-SC's training on pseudo-labels that the frozen features give."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.sources import DINOV2
from heads.aggregation.features import DinoFeatures
from heads.aggregation.network import AggregationNetwork
from heads.aggregation.training import (
    OPTION_HELP,
    OPTIONS,
    checkpoint,
    groups,
    lose_at_cells,
    make_network,
    padded_frame,
)
from heads.diy.pseudo_labels import consistent_matches
from heads.diy.spec import SOURCE
from matchers.training.objective import Batch, FeatureSource, Losses, Objective, TrainingSettings


def compared_features(features: Tensor, channels: Sequence[int]) -> Tensor:
    """Features (B, C, h, w) whose cosines make labels: the last level weighs as much as all before it."""
    *before, last = channels
    parts = features.split([sum(before), last] if before else [last], dim=1)
    return torch.cat([F.normalize(part, dim=1) for part in parts], dim=1)


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """The losses at matches that the features themselves agree on."""
    assert isinstance(network, AggregationNetwork)
    assert batch.source_mask is not None and batch.target_mask is not None
    source, target = (
        compared_features(features, network.shape.channels) for features in (batch.source, batch.target)
    )
    pairs = [
        consistent_matches(
            *pair, number=settings.whole("matches"), reach=settings.number("reach"), generator=generator
        )
        for pair in zip(source, target, batch.source_mask, batch.target_mask, strict=True)
    ]
    labels = torch.tensor(float(sum(len(start) for start, _ in pairs)))
    return {**lose_at_cells(network, batch, settings, pairs), "labels": labels}


PUBLISHED = TrainingSettings(
    supervision="masks",
    image_size=840,
    optimizer="adamw",
    rate=1.25e-3,
    weight_decay=1e-3,
    batch=1,
    steps=200_000,
    decay="one-cycle",
    options={**OPTIONS, "matches": 50, "reach": 2.0},
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 152,
        "batch": 8,
        "steps": 300,
        "options": {**PUBLISHED.options, "projection": 128, "width": 32, "groups": 8, "reach": 1.0},
    }
)

OBJECTIVE = Objective(
    method=SOURCE,
    source=SOURCE,
    features=FeatureSource(weights=(DINOV2,), make=DinoFeatures),
    published=PUBLISHED,
    small=SMALL,
    frame=padded_frame,
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help={
        **OPTION_HELP,
        "matches": "cells of a source's object that are tried as labels",
        "reach": "largest distance, in cells, of the way to the match and back from its beginning",
    },
    notes=(
        "The labels are not the authors': theirs are matches along chains of pictures "
        "whose poses are near, filtered by cycle consistency and by a spherical prototype; ours are matches "
        "of the pair alone, within the objects' masks, that lead back to near where they began. Numbers of "
        "matches and their reach are ours, goals have no noise, and the momentum of the optimiser "
        "does not follow the one cycle."
    ),
)
