"""DIY-SC's training for the head on Stable Diffusion and DINOv2."""

from __future__ import annotations

from dataclasses import replace

from baselines.sources import DINOV2, STABLE_DIFFUSION_1_5
from heads.aggregation.features import SdDinoFeatures
from heads.diy.objective import OBJECTIVE as ON_TOKENS
from heads.diy.spec import ON_SD_DINO
from matchers.training.objective import FeatureSource

OBJECTIVE = replace(
    ON_TOKENS,
    method=ON_SD_DINO,
    source=ON_SD_DINO,
    features=FeatureSource(weights=(STABLE_DIFFUSION_1_5, DINOV2), make=SdDinoFeatures),
    small=ON_TOKENS.small.model_copy(update={"batch": 4}),
)
