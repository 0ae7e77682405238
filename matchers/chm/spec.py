"""CHM's recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.specs import NOT_STATED, ExtractorSpec, MakeContext, MatcherSpec, MethodSpec, WeightSource
from matchers import citations

if TYPE_CHECKING:
    from matchers.chm.extractor import ChmFeatures
    from matchers.chm.matcher import ChmMatcher

SOURCE = "chm"
"""Name of the weight source."""


def _make_extractor(context: MakeContext) -> ChmFeatures:
    from matchers.chm.extractor import make_extractor

    return make_extractor(context, SOURCE)


def _make_matcher(context: MakeContext) -> ChmMatcher:
    from matchers.chm.matcher import make_matcher

    return make_matcher(context, SOURCE)


def _image_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    from matchers.chm.extractor import image_size

    return image_size(weights, SOURCE)


EXTRACTORS = (
    ExtractorSpec(
        name="chm",
        make=_make_extractor,
        image_size=_image_size,
        weights=(SOURCE,),
        description="layer 3 of CHM's own ResNets of source and target, reduced at three scales",
        citation=citations.CHM,
    ),
)

MATCHERS = (
    MatcherSpec(
        name="chm",
        make=_make_matcher,
        extractors=frozenset({"chm"}),
        weights=(SOURCE,),
        description="cosines at all pairs of scales, and votes of neighbouring matches and scales (CHM)",
        citation=citations.CHM,
    ),
)

METHODS = (
    MethodSpec(
        name="chm",
        extractor="chm",
        matcher="chm",
        localizer="neighbours",
        localizer_options={"neighbours": {"sigma": 17.0, "reach": 0.1, "constant": 0.0}},
        supervision="K",
        trained_on="spair-71k",
        tuned_on=(NOT_STATED,),
        description="CHM (2021): ResNet-101 layer 3 at 240 x 240, convolutional Hough matching in six axes",
        notes=(
            "Follows the authors' code (bec0de4): pictures stretched to 240 x 240, layer 3 after its ReLU, "
            "three scales, cosines of all pairs of scales, a 6-D and a 4-D convolution whose weights are "
            "shared by geometry (psi or iso kernel, told from the file), mutual filter; points are read by "
            "neighbours with sigma 17, reach 0.1 and nothing added to the sum of weights. Source points are "
            "looked up, as here. The file holds two tuned ResNets, one for each role; a picture is encoded "
            "by both, since it may be source and target, and by one where they are equal. Differs: features "
            "of zeros have cosine 0 (theirs is not a number), and a query without a cell in reach has the "
            "position that the nearest cell names. Their kernel 'full', without sharing, is refused. The "
            "thresholds of PF-WILLOW in their code include the padding of its points."
        ),
        citation=citations.CHM,
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="spr_psi.pt",
        stand_in="tiny-chm",
        advice=(
            "spr_psi.pt (SPair-71k) and pas_psi.pt (PF-PASCAL) are in the authors' Google Drive folder "
            "1myRkb2ow6ltAWaAJtJsh23NVB6d4YFuo; "
            "download the file in a browser and give --weights chm=PATH"
        ),
        citation=citations.CHM,
        description="CHM trained on SPair-71k, both backbones included; no licence is stated",
    ),
)
