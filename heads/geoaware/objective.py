"""GeoAware-SC's training: end-point error and contrastive loss of keypoints, on frozen features."""

from __future__ import annotations

import torch
from torch import nn

from baselines.sources import DINOV2, STABLE_DIFFUSION_1_5
from harness.frames import Size
from heads.aggregation.features import SdDinoFeatures
from heads.aggregation.network import AggregationNetwork
from heads.aggregation.training import (
    OPTION_HELP,
    OPTIONS,
    cells_of,
    checkpoint,
    groups,
    lose_at_cells,
    make_network,
    padded_frame,
)
from heads.geoaware.spec import SOURCE
from matchers.training.objective import Batch, FeatureSource, Losses, Objective, TrainingSettings


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """The losses at keypoints."""
    assert isinstance(network, AggregationNetwork)
    grid, side = Size(batch.source.shape[-1], batch.source.shape[-2]), settings.image_size
    points = zip(batch.source_points, batch.target_points, strict=True)
    pairs = [(cells_of(start, side, grid), cells_of(goal, side, grid)) for start, goal in points]
    return lose_at_cells(network, batch, settings, pairs)


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=840,
    optimizer="adamw",
    rate=1.25e-3,
    weight_decay=1e-3,
    batch=1,
    epochs=2,
    decay="one-cycle",
    options=OPTIONS,
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 152,
        "rate": 2e-3,
        "batch": 4,
        "epochs": None,
        "steps": 300,
        "options": {**OPTIONS, "projection": 128, "width": 32, "groups": 8},
    }
)

OBJECTIVE = Objective(
    method=SOURCE,
    source=SOURCE,
    features=FeatureSource(weights=(STABLE_DIFFUSION_1_5, DINOV2), make=SdDinoFeatures),
    published=PUBLISHED,
    small=SMALL,
    frame=padded_frame,
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help=OPTION_HELP,
    notes=(
        "Settings are those for SPair-71k. Differs: the head begins anew, not with one for AP-10K; no pair "
        "is mirrored, goals have no noise (theirs: 0.1 of half the target's box), and the momentum of "
        "the optimiser does not follow the one cycle."
    ),
)
