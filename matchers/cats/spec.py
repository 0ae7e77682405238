"""CATs' extractor, matcher, recipe and weights, and the reading that SemiMatch and SCorrSAN share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from harness.localizers.make import make_localizer
from harness.specs import (
    ExtractorSpec,
    ImageExtractor,
    LocalizerSpec,
    MakeContext,
    Matcher,
    MatcherSpec,
    MethodSpec,
    WeightSource,
)
from matchers import citations
from matchers.direction import DIRECTION

SOURCE = "cats"


def input_size(weights: Mapping[str, Path], source: str) -> tuple[int, int]:
    """Width and height in pixels that a source's network is fed. Raises `UserError` for a damaged file."""
    from matchers.cats.files import read_side

    side = read_side(weights[source])
    return side, side


def make_extractor(context: MakeContext, source: str) -> ImageExtractor:
    """Makes the extractor of a source's network."""
    from matchers.cats.extractor import CatsFeatures

    return CatsFeatures(context, source)


def make_matcher(context: MakeContext, source: str) -> Matcher:
    """Makes the matcher of a source's network."""
    from matchers.cats.matcher import CatsMatcher

    return CatsMatcher(context, source)


EXTRACTORS = (
    ExtractorSpec(
        name="cats",
        make=partial(make_extractor, source=SOURCE),
        image_size=partial(input_size, source=SOURCE),
        weights=(SOURCE,),
        citation=citations.CATS,
        description="several levels of a ResNet on one grid, each of length 1",
    ),
)

MATCHERS = (
    MatcherSpec(
        name="cats",
        make=partial(make_matcher, source=SOURCE),
        extractors=frozenset({"cats"}),
        weights=(SOURCE,),
        citation=citations.CATS,
        description="cosines of all levels, refined by a transformer that sees them from either picture",
    ),
)

LOCALIZERS = (
    LocalizerSpec(
        name="flow-pixel",
        make=partial(make_localizer, "matchers.localizers.flow_pixel", "FlowPixel"),
        options={"temperature": 0.02, "truncate": True},
        grid="half-pixel",
        reads="cell",
        matches=frozenset({"volume", "flow"}),
        maps=False,
        citation=citations.CATS,
        description="displacements by soft-argmax, enlarged and read at the point's whole pixel "
        "(CATs, SemiMatch, SCorrSAN)",
    ),
)

READING = (
    "A query loses the fraction of its pixel in the 256 x 256 frame, as in the authors' evaluation "
    "(flow-pixel: truncate), which moves predictions up to one of its pixels up and left. "
)

METHODS = (
    MethodSpec(
        name="cats",
        extractor="cats",
        matcher="cats",
        localizer="flow-pixel",
        supervision="K",
        trained_on="spair-71k",
        description="CATs (2021): eight levels of a tuned ResNet-101 at 256 x 256, refined by a transformer",
        citation=citations.CATS,
        notes=DIRECTION
        + READING
        + "Levels are read before the ReLU that ends their block and brought to 16 x 16 cells corner to "
        "corner, layer 1 without antialiasing. The file does not name its levels: eight projections are the "
        "SPair-71k network's, seven the PF-PASCAL network's. On which data the levels were chosen is not "
        "stated. The authors' PF-WILLOW numbers are measured with a threshold that counts padding among the "
        "points.",
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="model_best.pth",
        stand_in="tiny-cats",
        advice="the authors' files are on Google Drive, "
        "drive.google.com/drive/folders/1e5GhHbOpsWpLALZHw7Th0IXFqjc4s5pu: model_best.pth in spair, "
        "spair_frozen, pfpascal or pfpascal_frozen; get one with a browser and give --weights cats=FILE",
        citation=citations.CATS,
        description="CATs with its tuned ResNet-101; github.com/SunghwanHong/Cost-Aggregation-transformers, "
        "GPL-3.0; read with torch.load(weights_only=True)",
    ),
)
