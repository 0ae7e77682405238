"""SCorrSAN's extractor, matcher, recipe and weights."""

from __future__ import annotations

from functools import partial

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
from matchers.cats.spec import READING, input_size
from matchers.direction import DIRECTION

SOURCE = "scorrsan"


def make_extractor(context: MakeContext) -> ImageExtractor:
    """Makes SCorrSAN's extractor."""
    from matchers.scorrsan.extractor import ScorrsanFeatures

    return ScorrsanFeatures(context, SOURCE)


def make_matcher(context: MakeContext) -> Matcher:
    """Makes SCorrSAN's matcher."""
    from matchers.scorrsan.matcher import ScorrsanMatcher

    return ScorrsanMatcher(context, SOURCE)


EXTRACTORS = (
    ExtractorSpec(
        name="scorrsan",
        make=make_extractor,
        image_size=partial(input_size, source=SOURCE),
        weights=(SOURCE,),
        citation=citations.SCORRSAN,
        description="a ResNet's layer 3 with the similarity of each cell to those around it",
    ),
)

MATCHERS = (
    MatcherSpec(
        name="scorrsan",
        make=make_matcher,
        extractors=frozenset({"scorrsan"}),
        params={"grid": None},
        param_kinds={"grid": int},
        param_help={
            "grid": "cells across and down to which the correlation is enlarged on both sides; its memory "
            "grows by the fourth power, 67 MB for 64; by default, as the weights say"
        },
        weights=(SOURCE,),
        citation=citations.SCORRSAN,
        description="mutually filtered cosines, enlarged to a fine grid",
    ),
)

METHODS = (
    MethodSpec(
        name="scorrsan",
        extractor="scorrsan",
        matcher="scorrsan",
        localizer="flow-pixel",
        supervision="K",
        trained_on="spair-71k",
        description="SCorrSAN (2022): ResNet-101 with spatial context at 256 x 256, cosines on 64 x 64 cells",
        citation=citations.SCORRSAN,
        notes=DIRECTION
        + READING
        + "Nobody published weights; files that the authors' program writes can be read. The level is the "
        "last block of layer 3, before its ReLU. The width of the context encoder's window follows from the "
        "file: 7 cells for SPair-71k, 13 for PF-PASCAL. The authors' PF-WILLOW numbers are measured with a "
        "threshold that counts padding among the points.",
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="model_best.pth",
        stand_in="tiny-scorrsan",
        advice="nobody published them; a network of one's own training goes with --weights scorrsan=FILE",
        citation=citations.SCORRSAN,
        description="SCorrSAN with its tuned ResNet-101; no published weights, "
        "github.com/ShuaiyiHuang/SCorrSAN, GPL-3.0; read with torch.load(weights_only=True)",
    ),
)
