"""GeoAware-SC's recipes with its pose flip."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import cast

from harness.citations import GEOAWARE
from harness.specs import (
    ExtractorSpec,
    ImageExtractor,
    Localizer,
    LocalizerSpec,
    MakeContext,
    MethodSpec,
    Scalar,
)
from heads.geoaware import spec as geoaware

LOCALIZER = "window-softmax-flip"


def _make_mirrored(context: MakeContext, spec: ExtractorSpec) -> ImageExtractor:
    from heads.pose_flip.extractor import MirroredToo

    # Of scope `image`, as `with_mirror` has seen to.
    return MirroredToo(cast("ImageExtractor", spec.make(context)))


def _make_localizer(**options: Scalar) -> Localizer:
    from heads.pose_flip.localizer import PoseFlip

    return PoseFlip(window=int(str(options["window"])), temperature=float(str(options["temperature"])))


def with_mirror(spec: ExtractorSpec) -> ExtractorSpec:
    """An extractor of scope `image`, with the features of each picture's mirror image beside its own."""
    assert spec.scope == "image", spec.name
    return replace(
        spec,
        name=f"{spec.name}-mirrored",
        make=partial(_make_mirrored, spec=spec),
        description=f"{spec.description}; of the mirrored picture, too",
    )


EXTRACTORS = tuple(with_mirror(spec) for spec in geoaware.EXTRACTORS)

LOCALIZERS = (
    LocalizerSpec(
        name=LOCALIZER,
        make=_make_localizer,
        options={"window": 7, "temperature": 0.02},
        grid="patch-centre",
        reads="patch",
        reads_annotations=True,
        extractors=frozenset(spec.name for spec in EXTRACTORS),
        description="window-softmax from the source or its mirror image, told the target's visible keypoints",
        citation=GEOAWARE,
    ),
)

_NOTES = (
    "With the pose flip: the mirrored source is described as well, and where its mean distance to the target "
    "is smaller, points that are visible in both images together with their partner are predicted from it, "
    "at the partner's place. It is told which keypoints are visible in the target, so it is no function of "
    "points and features alone, and its numbers are marked and not ranked. Distances are those of mutual "
    "nearest neighbours, as in the authors' program without masks; those of the paper are within masks of a "
    "segmentation network. The mirrored picture has the prompt of the picture itself."
)


def _with_flip(method: MethodSpec) -> MethodSpec:
    return replace(
        method,
        name=f"{method.name}-flip",
        extractor=f"{method.extractor}-mirrored",
        localizer=LOCALIZER,
        localizer_options={
            **method.localizer_options,
            LOCALIZER: method.localizer_options["window-softmax"],
        },
        description=f"{method.description}; with the pose flip",
        notes=f"{_NOTES} Otherwise as '{method.name}': {method.notes}",
    )


METHODS = tuple(_with_flip(method) for method in geoaware.METHODS)
