"""TransforMatcher's recipe."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.localizers.make import make_localizer
from harness.specs import (
    NOT_STATED,
    ExtractorSpec,
    LocalizerSpec,
    MakeContext,
    MatcherSpec,
    MethodSpec,
    WeightSource,
)
from matchers import citations

if TYPE_CHECKING:
    from matchers.transformatcher.extractor import BlockOutputs
    from matchers.transformatcher.matcher import MatchTransformer

SOURCE = "transformatcher"
"""Name of the weight source."""


def _make_extractor(context: MakeContext) -> BlockOutputs:
    from matchers.transformatcher.extractor import make_extractor

    return make_extractor(context, SOURCE)


def _make_matcher(context: MakeContext) -> MatchTransformer:
    from matchers.transformatcher.matcher import make_matcher

    return make_matcher(context, SOURCE)


def _image_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    from matchers.transformatcher.extractor import image_size

    return image_size(weights, SOURCE)


EXTRACTORS = (
    ExtractorSpec(
        name="transformatcher",
        make=_make_extractor,
        image_size=_image_size,
        weights=(SOURCE,),
        description="all blocks of layers 3 and 4 of TransforMatcher's own ResNets of source and target",
        citation=citations.TRANSFORMATCHER,
    ),
)

MATCHERS = (
    MatcherSpec(
        name="transformatcher",
        make=_make_matcher,
        extractors=frozenset({"transformatcher"}),
        weights=(SOURCE,),
        description="cosines of 26 levels, refined by attention between all matches (TransforMatcher)",
        citation=citations.TRANSFORMATCHER,
    ),
)

LOCALIZERS = (
    LocalizerSpec(
        name="neighbours",
        make=partial(make_localizer, "matchers.localizers.neighbours", "Neighbours"),
        options={"sigma": 10.0, "reach": 0.05, "constant": 1e-5, "temperature": 1.0},
        matches=frozenset({"volume"}),
        maps=False,
        description="kernel soft-argmax of the source cells around the query, blended by distance (CHM, "
        "TransforMatcher)",
        citation=citations.CHM,
    ),
)

METHODS = (
    MethodSpec(
        name="transformatcher",
        extractor="transformatcher",
        matcher="transformatcher",
        localizer="neighbours",
        localizer_options={"neighbours": {"sigma": 10.0, "reach": 0.05, "constant": 1e-5}},
        supervision="K",
        trained_on="spair-71k",
        tuned_on=(NOT_STATED,),
        description="TransforMatcher (2022): ResNet-101 at 240 x 240, 26 levels, match-to-match attention",
        notes=(
            "Follows the authors' code (f4c134f): pictures stretched to 240 x 240, all blocks of layers 3 "
            "and 4 after their ReLU, cosines of each level on 15 x 15 cells, additive attention among the "
            "15^4 matches, scores resized to 30^4; points are read by neighbours with sigma 10, reach 0.05 "
            "and 1e-5 added to the sum of weights, which draws a point midway between four cells 0.2 % "
            "towards the image's centre (constant=0 switches that off). The rotary angles reach 800,000 in "
            "single precision and are rounded as theirs. Source points are looked up, as here. The file "
            "holds two tuned ResNets, one for each role; a picture is encoded by both, since it may be "
            "source and target, and by one where they are equal. Differs: features of zeros have cosine 0 "
            "(theirs is not a number), and a query without a cell in reach has the position that the "
            "nearest cell names (theirs is the image's centre). Their files have a table of positions that "
            "is never used. Weights were announced and never published, and a retraining by others did not "
            "reach the paper's numbers."
        ),
        citation=citations.TRANSFORMATCHER,
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="transformatcher.pt",
        stand_in="tiny-transformatcher",
        advice=(
            "its authors have not published weights; train some with their code or with "
            "'bench train transformatcher', and give --weights transformatcher=PATH"
        ),
        citation=citations.TRANSFORMATCHER,
        description="TransforMatcher, both backbones included; not published",
    ),
)
