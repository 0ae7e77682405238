"""PWarpC-NCNet's recipes."""

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
    from matchers.ncnet.extractor import LastLayer
    from matchers.pwarpc.extractor import PaddedPairs
    from matchers.pwarpc.matcher import BinMatcher

SOURCE = "pwarpc-ncnet"
"""Name of the weight source."""

_CITATION = f"{citations.PWARPC}\n\n{citations.NCNET}"


def _make_extractor(context: MakeContext) -> LastLayer:
    from matchers.pwarpc.extractor import make_extractor

    return make_extractor(context, SOURCE)


def _make_pair_extractor(context: MakeContext) -> PaddedPairs:
    from matchers.pwarpc.extractor import make_pair_extractor

    return make_pair_extractor(context, SOURCE)


def _make_matcher(context: MakeContext) -> BinMatcher:
    from matchers.pwarpc.matcher import make_matcher

    return make_matcher(context, SOURCE)


def _image_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    from matchers.ncnet.extractor import image_size

    return image_size(weights, SOURCE)


EXTRACTORS = (
    ExtractorSpec(
        name="pwarpc-ncnet",
        make=_make_extractor,
        image_size=_image_size,
        weights=(SOURCE,),
        description="as ncnet, of the picture stretched by means over areas",
        citation=_CITATION,
    ),
    ExtractorSpec(
        name="pwarpc-ncnet-padded",
        make=_make_pair_extractor,
        scope="pair",
        image_size=_image_size,
        weights=(SOURCE,),
        description="as pwarpc-ncnet, both pictures of a pair first padded to one size",
        citation=_CITATION,
    ),
)

MATCHERS = (
    MatcherSpec(
        name="pwarpc-ncnet",
        make=_make_matcher,
        extractors=frozenset({"pwarpc-ncnet", "pwarpc-ncnet-padded"}),
        weights=(SOURCE,),
        description="NCNet's, and the probabilities of matches beside that of none (PWarpC)",
        citation=_CITATION,
    ),
)

LOCALIZERS = (
    LocalizerSpec(
        name="upsampled-flow",
        make=partial(make_localizer, "matchers.localizers.upsampled_flow", "UpsampledFlow"),
        options={"temperature": None, "whole_pixels": True},
        grid="half-pixel",
        matches=frozenset({"volume"}),
        maps=False,
        description="displacements of the cells around the query, between cells bilinearly (PWarpC, strong)",
        citation=citations.PWARPC,
    ),
)

_NOTES = (
    "Follows the authors' code (DenseMatching b054fe9), weakly supervised: the picture resized to 400 x 400 "
    "by means over areas, NCNet's network, a learned score of no match beside those of all source cells, "
    "and softmax over them. Of each whole pixel the four cells around it are read as NCNet does, and a point "
    "moves as its nearest whole pixel. Kept: whole pixels, which count from 0, are read as if they counted "
    "from 1 (option 'first_pixel' of four-cells; 0 switches it off). With the file of a strongly supervised "
    "network, which has no such score, --localizers upsampled-flow is the authors' reading. Their network "
    "looks up target points: their target is the source here. Differs: in their evaluation, points that "
    "round to the same pixel count once."
)

METHODS = (
    MethodSpec(
        name="pwarpc-ncnet",
        extractor="pwarpc-ncnet",
        matcher="pwarpc-ncnet",
        localizer="four-cells",
        localizer_options={"four-cells": {"whole_pixels": True}},
        supervision="I",
        trained_on="pf-pascal",
        tuned_on=(NOT_STATED,),
        description="PWarpC-NCNet (2022): NCNet with a bin for no match, trained for consistent warps",
        notes=f"{_NOTES} And each picture is stretched by itself, and encoded once, where their loader pads "
        "both pictures of a pair with black to one size first: pwarpc-ncnet-padded does that.",
        citation=_CITATION,
    ),
    MethodSpec(
        name="pwarpc-ncnet-padded",
        extractor="pwarpc-ncnet-padded",
        matcher="pwarpc-ncnet",
        localizer="four-cells",
        localizer_options={"four-cells": {"whole_pixels": True}},
        supervision="I",
        trained_on="pf-pascal",
        tuned_on=(NOT_STATED,),
        description="pwarpc-ncnet, with both pictures of a pair padded to one size as its authors do",
        notes=f"{_NOTES} Both pictures of a pair are padded with black to one size before they are "
        "stretched, so that each is encoded anew for every pair.",
        citation=_CITATION,
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="PWarpCNCNet_WS_pfpascal.pth.tar",
        stand_in="tiny-pwarpc-ncnet",
        advice="the authors' files are on Google Drive, in folder 1LVrwAHDvVxsqzaGtd409wHv8cSPeLj1i: "
        "PWarpCNCNet_WS_pfpascal has the id 1xwS7qnjngO9mfeRUkwFJAdlz-GBLDxXz, PWarpCNCNet_WS_spair "
        "1lzMXLmeTROi2BEpIhdWA-wVXdoi88-Sg",
        citation=_CITATION,
        description="PWarpC-NCNet, weakly supervised on PF-PASCAL, backbone included; LGPL-2.1",
    ),
)
