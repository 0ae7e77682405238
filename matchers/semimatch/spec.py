"""SemiMatch's extractor, matcher, recipe and weights: CATs' network with weights of its own."""

from __future__ import annotations

from functools import partial

from harness.specs import ExtractorSpec, MatcherSpec, MethodSpec, WeightSource
from matchers import citations
from matchers.cats.spec import READING, input_size, make_extractor, make_matcher
from matchers.direction import DIRECTION

SOURCE = "semimatch"

TEMPERATURE = 0.05
"""Of the soft-argmax, as the authors' settings file has it."""

EXTRACTORS = (
    ExtractorSpec(
        name="semimatch",
        make=partial(make_extractor, source=SOURCE),
        image_size=partial(input_size, source=SOURCE),
        weights=(SOURCE,),
        citation=citations.SEMIMATCH,
        description="several levels of a ResNet on one grid, each of length 1 (CATs' network)",
    ),
)

MATCHERS = (
    MatcherSpec(
        name="semimatch",
        make=partial(make_matcher, source=SOURCE),
        extractors=frozenset({"semimatch"}),
        weights=(SOURCE,),
        citation=citations.SEMIMATCH,
        description="cosines of all levels, refined by a transformer (CATs' network)",
    ),
)

METHODS = (
    MethodSpec(
        name="semimatch",
        extractor="semimatch",
        matcher="semimatch",
        localizer="flow-pixel",
        localizer_options={"flow-pixel": {"temperature": TEMPERATURE}},
        supervision="K",
        trained_on="spair-71k",
        description="SemiMatch (2022): CATs' network, tuned with pseudo-labels that its sure matches give",
        citation=citations.SEMIMATCH,
        notes=DIRECTION
        + READING
        + "Nobody published weights: the authors point at CATs' own, which --weights semimatch=FILE takes. "
        "The soft-argmax's temperature is 0.05, as in their settings file; their program's default is 0.1. "
        "Levels and everything else are CATs'.",
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="model_best.pth",
        stand_in="tiny-semimatch",
        advice="nobody published them; a network of one's own training, or CATs' file, goes with "
        "--weights semimatch=FILE",
        citation=citations.SEMIMATCH,
        description="SemiMatch, laid out as CATs; no published weights, github.com/JiwonCocoder has no "
        "licence; read with torch.load(weights_only=True)",
    ),
)
