"""NCNet's recipe."""

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
    RemoteFile,
    WeightSource,
)
from matchers import citations

if TYPE_CHECKING:
    from matchers.ncnet.extractor import LastLayer
    from matchers.ncnet.matcher import ConsensusMatcher

SOURCE = "ncnet"
"""Name of the weight source."""

_FILE = "ncnet_pfpascal.pth.tar"


def _make_extractor(context: MakeContext) -> LastLayer:
    from matchers.ncnet.extractor import make_extractor

    return make_extractor(context, SOURCE)


def _make_matcher(context: MakeContext) -> ConsensusMatcher:
    from matchers.ncnet.matcher import make_matcher

    return make_matcher(context, SOURCE)


def _image_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    from matchers.ncnet.extractor import image_size

    return image_size(weights, SOURCE)


EXTRACTORS = (
    ExtractorSpec(
        name="ncnet",
        make=_make_extractor,
        image_size=_image_size,
        weights=(SOURCE,),
        description="features of the third layer of NCNet's own ResNet, of length 1",
        citation=citations.NCNET,
    ),
)

MATCHERS = (
    MatcherSpec(
        name="ncnet",
        make=_make_matcher,
        extractors=frozenset({"ncnet"}),
        weights=(SOURCE,),
        description="cosines, refined by 4-D convolutions over neighbouring matches (NCNet)",
        citation=citations.NCNET,
    ),
)

LOCALIZERS = (
    LocalizerSpec(
        name="four-cells",
        make=partial(make_localizer, "matchers.localizers.four_cells", "FourCells"),
        options={"first_pixel": 1.0, "side": None, "whole_pixels": False, "nearest": False},
        matches=frozenset({"volume"}),
        maps=False,
        description="best matches of the four cells around the query, blended, pixels counted from 1 (NCNet)",
        citation=citations.NCNET,
    ),
)

METHODS = (
    MethodSpec(
        name="ncnet",
        extractor="ncnet",
        matcher="ncnet",
        localizer="four-cells",
        localizer_options={"four-cells": {"side": 224}},
        supervision="I",
        trained_on="pf-pascal",
        tuned_on=(NOT_STATED,),
        description="NCNet (2018): ResNet-101 layer 3 at 400 x 400, neighbourhood consensus",
        notes=(
            "Follows the authors' code (116a914) as it ran under the PyTorch of its time: pictures stretched "
            "to 400 x 400 corner to corner without antialiasing (on a current PyTorch their code samples "
            "another grid), features after layer 3's ReLU over sqrt(sum of squares + 1e-6), cosines, mutual "
            "filter, three 4-D convolutions applied in both directions and added, mutual filter. Also kept: "
            "points are scaled to 224 x 224 pixels, counted from 1 as Matlab does (options 'side' and "
            "'first_pixel' of four-cells; None and 0 switch them off). Their network looks up target points: "
            "their target is the source here. Differs: pictures are decoded by Pillow, theirs by "
            "scikit-image. The published file holds its own backbone, whose last block of layer 3 was tuned, "
            "too. A model for SPair-71k was never published: the paper's Table 2 has a number of others' "
            "training."
        ),
        citation=citations.NCNET,
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        downloads=(RemoteFile(f"https://www.di.ens.fr/willow/research/ncnet/models/{_FILE}", _FILE),),
        file=_FILE,
        stand_in="tiny-ncnet",
        advice="ncnet_ivd.pth.tar beside it was trained on other pictures",
        citation=citations.NCNET,
        description="NCNet trained on PF-PASCAL, backbone included; MIT",
    ),
)
