"""What extractors with an aggregation network have in common; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from baselines.methods.dift import PROMPT_KINDS
from baselines.methods.dino import DINOV2_SIDE
from baselines.sources import DINOV2, STABLE_DIFFUSION_1_5
from baselines.vit.card import OFFSET_HELP, VitCard
from harness.specs import ExtractorSpec, ImageExtractor, MakeContext, Scalar

TIMESTEP = 50
"""GeoAware-SC's diffusion timestep; SD+DINO's is 100."""


def dino_square(weights: Mapping[str, Path], params: Mapping[str, Scalar]) -> tuple[int, int]:
    """Width and height in pixels of DINOv2's padded picture.

    Raises:
        UserError: a backbone's configuration is damaged, or does not have what a parameter asks for.
    """
    card = VitCard.of(weights[DINOV2])
    card.chosen_position_offset(params)
    if "timestep" in params:
        from baselines.stable_diffusion.card import Card

        Card.of(weights[STABLE_DIFFUSION_1_5]).check_timestep(int(str(params["timestep"])))
    side = card.side(DINOV2_SIDE)
    return side, side


def make_on_tokens(context: MakeContext, source: str) -> ImageExtractor:
    """The head of a source on DINOv2's tokens."""
    from heads.aggregation.extractor import AggregatedTokens

    return AggregatedTokens(context, source)


def make_on_sd_dino(context: MakeContext, source: str) -> ImageExtractor:
    """The head of a source on Stable Diffusion's states and DINOv2's tokens."""
    from heads.aggregation.extractor import AggregatedFeatures
    from heads.aggregation.features import SdDinoFeatures

    return AggregatedFeatures(context, source, SdDinoFeatures)


def make_zero_shot(context: MakeContext) -> ImageExtractor:
    """These states and tokens without a head."""
    from heads.aggregation.features import ZeroShotFeatures

    return ZeroShotFeatures(context)


def spec_on_tokens(name: str, source: str, **further: Any) -> ExtractorSpec:
    """The extractor with the head of a source on DINOv2's tokens.

    Args:
        further: citation and description.
    """
    return ExtractorSpec(
        name=name,
        make=partial(make_on_tokens, source=source),
        fed_size=dino_square,
        params={"position_offset": None},
        param_help={"position_offset": OFFSET_HELP},
        param_kinds={"position_offset": float},
        weights=(DINOV2, source),
        **further,
    )


def spec_on_sd_dino(name: str, source: str | None, **further: Any) -> ExtractorSpec:
    """The extractor with the head of a source on SD+DINO's levels; without a source, the levels themselves.

    Args:
        further: citation and description.
    """
    return ExtractorSpec(
        name=name,
        make=partial(make_on_sd_dino, source=source) if source else make_zero_shot,
        prompt_kinds=PROMPT_KINDS,
        fed_size=dino_square,
        params={"timestep": TIMESTEP, "position_offset": None},
        param_help={
            "timestep": "diffusion timestep at which noise is added; 0 to 999 for Stable Diffusion",
            "position_offset": OFFSET_HELP,
        },
        param_kinds={"position_offset": float},
        weights=(STABLE_DIFFUSION_1_5, DINOV2, *((source,) if source else ())),
        **further,
    )
