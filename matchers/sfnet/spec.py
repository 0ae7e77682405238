"""SFNet's extractor, matcher, recipe and weights, and the reading that PMD shares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.localizers.make import make_localizer
from harness.specs import (
    ExtractorSpec,
    LocalizerSpec,
    MakeContext,
    Matcher,
    MatcherSpec,
    MethodSpec,
    WeightSource,
)
from matchers import citations
from matchers.direction import DIRECTION

if TYPE_CHECKING:
    from matchers.sfnet.extractor import AdaptedFeatures

SOURCE = "sfnet"

PUBLISHED = (320, 16)
"""Side in pixels of the published network's input, and its black border on each side."""


def input_size(weights: Mapping[str, Path], source: str, published: tuple[int, int]) -> tuple[int, int]:
    """Width and height in pixels that a source's network is fed. Raises `UserError` for a damaged file."""
    from matchers.backbones.checkpoints import read_settings
    from matchers.sfnet.checkpoint import InputSettings

    side = InputSettings(*published).of(read_settings(weights[source]), weights[source]).side
    return side, side


def make_extractor(
    context: MakeContext, source: str, published: tuple[int, int], foreign: str | None = None
) -> AdaptedFeatures:
    """Makes the extractor of a source's adaptations."""
    from matchers.sfnet.checkpoint import InputSettings
    from matchers.sfnet.extractor import AdaptedFeatures

    return AdaptedFeatures(context, source, InputSettings(*published), foreign)


def make_matcher(context: MakeContext) -> Matcher:
    """Makes SFNet's matcher."""
    from matchers.sfnet.matcher import SFNetMatcher

    return SFNetMatcher(context)


EXTRACTORS = (
    ExtractorSpec(
        name="sfnet",
        # PMD's files have SFNet's tensors, trained for an attention over channels.
        make=partial(make_extractor, source=SOURCE, published=PUBLISHED, foreign="chn4_dict"),
        image_size=partial(input_size, source=SOURCE, published=PUBLISHED),
        weights=(SOURCE, "resnet101"),
        citation=citations.SFNET,
        description="layers 3 and 4 of a ResNet, adapted by convolutions; picture inside a black border",
    ),
)

MATCHERS = (
    MatcherSpec(
        name="sfnet",
        make=make_matcher,
        extractors=frozenset({"sfnet"}),
        citation=citations.SFNET,
        description="product of two levels' rectified cosines, normalised for each source cell",
    ),
)

LOCALIZERS = (
    LocalizerSpec(
        name="grid-corner",
        make=partial(make_localizer, "matchers.localizers.grid_corner", "GridCorner"),
        options={"sigma": 5.0, "beta": 50.0, "crop": True, "rounded": True},
        grid="corner",
        matches=frozenset({"volume", "flow"}),
        maps=False,
        citation=citations.SFNET,
        description="kernel soft-argmax for each source cell, cells corner to corner (SFNet, PMD)",
    ),
)

READING = (
    "Queries go to the nearest whole pixel and cells lie corner to corner, as in the authors' evaluation "
    "(grid-corner: rounded, crop). The kernel multiplies scores before softmax, so that far cells keep some "
    "weight. "
)

METHODS = (
    MethodSpec(
        name="sfnet",
        extractor="sfnet",
        matcher="sfnet",
        localizer="grid-corner",
        supervision="I",
        trained_on="pascal-voc-2012-masks",
        description="adapted features of a frozen ResNet, trained on object masks and random affine maps",
        citation=citations.SFNET,
        notes=DIRECTION
        + READING
        + "The picture fills 288 pixels of the 320 x 320 input; the outermost cells, which show the border, "
        "are dropped: queries see the remaining 18 corner to corner, and positions in the target are "
        "magnified by 20/18, as in the authors' evaluation. The paper measures on PF-PASCAL in a frame of "
        "288 x 288. Its program loads checkpoints that lack tensors; here such a file is refused.",
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="best_checkpoint.pt",
        stand_in="tiny-sfnet",
        advice="the authors' file best_checkpoint.pt (about 512 MB) is on Google Drive, "
        "drive.google.com/file/d/1RmVcrla-7qUYVxRdr6ngqRmmu2RK-qrk; get it with a browser and give "
        "--weights sfnet=FILE",
        download_bytes=4 * 127_944_704,
        citation=citations.SFNET,
        description="SFNet's two adaptations of a ResNet-101, trained on masks of PASCAL VOC 2012; "
        "github.com/cvlab-yonsei/SFNet, GPL-3.0; read with torch.load(weights_only=True)",
    ),
)
