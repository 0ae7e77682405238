"""DHPF's extractor, matcher, reading, recipe and weights."""

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

DHPF, RESNET = "dhpf", "resnet101"
"""Weight sources: of the learner, and of its backbone."""


def input_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    """Width and height in pixels of the network's input. Raises `UserError` for a damaged file."""
    from matchers.backbones.checkpoints import input_side, read_settings
    from matchers.dhpf.checkpoint import PUBLISHED_SIZE

    side = input_side(read_settings(weights[DHPF]), weights[DHPF], PUBLISHED_SIZE)
    return side, side


def make_extractor(context: MakeContext) -> ImageExtractor:
    """Makes DHPF's extractor."""
    from matchers.dhpf.extractor import DhpfExtractor

    return DhpfExtractor(context.weights[DHPF], context.weights[RESNET], context.device, context.precision)


def make_matcher(context: MakeContext) -> Matcher:
    """Makes DHPF's matcher."""
    from matchers.dhpf.matcher import DhpfMatcher

    return DhpfMatcher(context.weights[DHPF], context.device, is_voting=bool(context.params["hough"]))


EXTRACTORS = (
    ExtractorSpec(
        name="dhpf",
        make=make_extractor,
        image_size=input_size,
        weights=(DHPF, RESNET),
        citation=citations.DHPF,
        description="all levels of a ResNet before the ReLU, reduced to an eighth of their channels",
    ),
)

MATCHERS = (
    MatcherSpec(
        name="dhpf",
        make=make_matcher,
        extractors=frozenset({"dhpf"}),
        params={"hough": True},
        param_help={"hough": "whether similarities are weighted by votes for a pair's displacements"},
        weights=(DHPF,),
        citation=citations.DHPF,
        description="levels chosen for the pair by gates, correlated and weighted by Hough votes",
    ),
)

LOCALIZERS = (
    LocalizerSpec(
        name="boxes",
        make=partial(make_localizer, "matchers.localizers.boxes", "Boxes"),
        options={"reach": 1.25, "mutual": True},
        grid="corner",
        matches=frozenset({"volume"}),
        maps=False,
        citation=citations.DHPF,
        description="points moved with the boxes that they lie in (DHPF)",
    ),
)

METHODS = (
    MethodSpec(
        name="dhpf",
        extractor="dhpf",
        matcher="dhpf",
        localizer="boxes",
        supervision="K",
        trained_on="spair-71k",
        description="Dynamic hyperpixel flow (2020): levels of a ResNet-101 chosen per pair, Hough matching",
        citation=citations.DHPF,
        notes=(
            "Follows the authors' code: 240 x 240 stretched (Pillow bilinear), all 34 levels before the ReLU "
            "of a ResNet-101 as torchvision published it (v1), gates without noise, similarities with 0.001 "
            "in the denominator, rectified and squared, votes in 91 x 91 bins smoothed by a Gaussian of 7 x "
            "7, boxes of 10 pixels at every fourth pixel, not cut off at the border, mutual filter, the mean "
            "of the moves of all boxes around a point (boxes). From the code alone: where no gate opens, the "
            "stem's level is taken; all boxes have the stem's size, whichever levels are taken. Source and "
            "target are those of the data set. The authors' strong files, trained with keypoints, belong to "
            "group K; their weak ones have the same tensors and belong to group I. A file for ResNet-50 runs "
            "with --weights resnet101=FILE of a ResNet-50, and the two are compared. Their page gives 37.3 "
            "for SPair-71k (weak 27.7), and for PF-PASCAL 88.7 to 90.7 by the rate at which gates open in "
            "training: the 91.7 that SD4Match prints is none of these. On PF-WILLOW their threshold is too "
            "large, since padding points enter the extent."
        ),
    ),
)

WEIGHTS = (
    WeightSource(
        name=DHPF,
        file="best_model.pt",
        stand_in="tiny-dhpf",
        advice="the authors' files are on Google Drive: drive.google.com/file/d/"
        "1DnsDhttMIImAcupdjuANowlgZqVSx_5E was trained on SPair-71k with keypoints, "
        "1uDfONwSiAzDsxW9wbhdlYKf8auqAVXoM without; get best_model.pt with a browser and give "
        "--weights dhpf=FILE",
        download_bytes=4 * 5_798_608,
        citation=citations.DHPF,
        description="DHPF's reductions and gates for the levels of a ResNet-101, trained with keypoints on "
        "SPair-71k; github.com/juhongm999/dhpf, Apache-2.0; read with torch.load(weights_only=True)",
    ),
)
