"""PMD's extractor, matcher, recipe and weights."""

from __future__ import annotations

from functools import partial

from harness.specs import ExtractorSpec, MakeContext, Matcher, MatcherSpec, MethodSpec, WeightSource
from matchers import citations
from matchers.direction import DIRECTION
from matchers.sfnet.spec import READING, input_size, make_extractor

SOURCE = "pmd"

PUBLISHED = (320, 0)
"""Side in pixels of the published network's input, which has no border."""


def make_matcher(context: MakeContext) -> Matcher:
    """Makes PMD's matcher."""
    from matchers.pmd.matcher import PmdMatcher

    return PmdMatcher(context)


EXTRACTORS = (
    ExtractorSpec(
        name="pmd",
        make=partial(make_extractor, source=SOURCE, published=PUBLISHED),
        image_size=partial(input_size, source=SOURCE, published=PUBLISHED),
        weights=(SOURCE, "resnet101"),
        citation=citations.PMD,
        description="layers 3 and 4 of a ResNet, adapted by convolutions",
    ),
)

MATCHERS = (
    MatcherSpec(
        name="pmd",
        make=make_matcher,
        extractors=frozenset({"pmd"}),
        weights=(SOURCE,),
        citation=citations.PMD,
        description="SFNet's correlation after an attention over channels that sees both pictures",
    ),
)

METHODS = (
    MethodSpec(
        name="pmd",
        extractor="pmd",
        matcher="pmd",
        localizer="grid-corner",
        supervision="I",
        trained_on="pf-pascal",
        description="SFNet's network with an attention over channels, taught by a probabilistic teacher",
        citation=citations.PMD,
        notes=DIRECTION
        + READING
        + "The attention scales the authors' source first, the target here; the other picture's factors "
        "follow from the features that were scaled already, so that a pair and its reverse differ. On "
        "SPair-71k the authors measure by the larger side of their source's box, which is the target's here. "
        "They published three files: pascal_weakly.pt is this recipe's and of group I; pascal_strongly.pt "
        "and spair_strongly.pt were trained on keypoints, and belong to group K.",
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="pascal_weakly.pt",
        stand_in="tiny-pmd",
        advice="the authors' file pascal_weakly.pt (about 545 MB) is in an archive on Google Drive, "
        "drive.google.com/file/d/1N7sW5cecKcq9O5nYhjmZWJ_o9rWpy5h1; get it with a browser and give "
        "--weights pmd=FILE",
        download_bytes=4 * 136_339_456,
        citation=citations.PMD,
        description="PMD's adaptations of a ResNet-101 and its attention, weakly supervised on PF-PASCAL; "
        "github.com/fanyang587/PMD, no licence; read with torch.load(weights_only=True)",
    ),
)
