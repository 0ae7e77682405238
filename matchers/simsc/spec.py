"""SimSC's extractor, matcher, recipe and weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from baselines.citations import IBOT
from harness.specs import (
    ExtractorSpec,
    ImageExtractor,
    MakeContext,
    Matcher,
    MatcherSpec,
    MethodSpec,
    WeightSource,
)
from matchers import citations
from matchers.simsc.names import SOURCE


def _input_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    """Width and height in pixels that the network is fed. Raises `UserError` for a damaged file."""
    from matchers.simsc.files import read_side

    side = read_side(weights[SOURCE])
    return side, side


def _make_extractor(context: MakeContext) -> ImageExtractor:
    from matchers.simsc.extractor import SimScFeatures

    return SimScFeatures(context)


def _make_matcher(context: MakeContext) -> Matcher:
    from matchers.simsc.matcher import SimScMatcher

    return SimScMatcher(context)


EXTRACTORS = (
    ExtractorSpec(
        name="simsc",
        make=_make_extractor,
        image_size=_input_size,
        weights=(SOURCE,),
        description="tokens of a tuned vision transformer, the stretched picture",
        citation=citations.SIMSC,
    ),
)

MATCHERS = (
    MatcherSpec(
        name="simsc",
        make=_make_matcher,
        extractors=frozenset({"simsc"}),
        params={"temperature": None},
        param_kinds={"temperature": float},
        param_help={"temperature": "a number in place of the learned temperature, from 0.001 to 1"},
        weights=(SOURCE,),
        description="cosines over a learned temperature (a re-implementation of SimSC)",
        citation=citations.SIMSC,
    ),
)

METHODS = (
    MethodSpec(
        name="simsc",
        extractor="simsc",
        matcher="simsc",
        localizer="soft-argmax",
        localizer_options={"soft-argmax": {"temperature": 1.0}},
        supervision="K",
        description="SimSC (2023), a re-implementation: tuned iBOT ViT, soft-argmax at a learned temperature",
        notes=(
            "A re-implementation from the paper's idea: its code and weights were never published, so no "
            "number of it says anything about the authors' SimSC-iBOT. From the idea: iBOT's vision "
            "transformer is tuned with keypoints through the soft-argmax of cosines, whose temperature is "
            "learned, as one number, by a small network from the correlation of the pair, or for each "
            "source cell. Ours: what that network sees (four statistics of a row), the size of the input, "
            "the rates, and the loss's form, a mean distance. The matcher's scores are the cosines over the "
            "temperature, which soft-argmax therefore reads at temperature 1; other localizers that take a "
            "softmax have their own temperature on top. There is no file to get: bench train simsc makes "
            "one from ibot-base."
        ),
        citation=f"{citations.SIMSC}\n\n{IBOT}",
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="simsc.safetensors",
        stand_in="tiny-simsc",
        advice="nobody has published any: 'bench train simsc --dataset spair-71k' makes a file from iBOT; "
        "give it with --weights simsc=FILE",
        citation=citations.SIMSC,
        description="a vision transformer and a temperature that bench train simsc has tuned",
    ),
)
