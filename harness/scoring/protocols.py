"""The published evaluation protocols, as data (`harness.scoring.pck` carries them out)."""

from __future__ import annotations

from harness import citations
from harness.frames import Frame, Size
from harness.scoring.box_by_axis import LENGTH, length_by_axis
from harness.specs import ProtocolSpec

SD4MATCH = ProtocolSpec(
    name="sd4match",
    frame="stretched",
    strict=False,
    # All pairs alike, whatever their category: the printed column "All" of the SPair-71k table is the mean
    # of its categories with the numbers of their pairs as weights.
    averaging="image",
    # As in the published code, which keeps target points this far inside the image.
    clamp=1e-4,
    citation=citations.SD4MATCH,
    description=(
        "the stretched square the extractor was fed, target points clamped into it, <=, per image "
        "(SD4Match; the default)"
    ),
)

ORIGINAL = ProtocolSpec(
    name="original",
    frame="original",
    strict=False,
    # The published program prints both means, per image and per point; papers compare with the first.
    averaging="image",
    citation=citations.DIFT,
    description="original pixels, <=, per image (DIFT)",
)

PADDED = ProtocolSpec(
    name="padded",
    frame="padded",
    strict=True,
    # The frame of the published evaluations: the square that DINOv2 is fed there.
    side=840,
    # GeoAware-SC's, a mean over all pairs. SD+DINO's program prints the mean per point of each category and
    # two means of those: over categories (`category-point`), and with the numbers of pairs as weights, which
    # is none of ours.
    averaging="image",
    citation=f"{citations.GEOAWARE}\n\n{citations.SD_DINO}",
    description="aspect-preserving square of 840 pixels, <, per image (GeoAware-SC; SD+DINO but its mean)",
)

MARCO = ProtocolSpec(
    name="marco",
    frame="padded",
    strict=False,
    side=770,
    place="corner",
    averaging="image",
    alphas=(0.01, 0.05, 0.10, 0.15, 0.20),
    # As in its program, which keeps target points this far inside the picture, its margins left out.
    clamp=1e-4,
    # Points follow one factor and boxes two: on a picture that is not square the threshold may be too long.
    # `marco[threshold=box]` is the same without that.
    threshold=length_by_axis,
    length=LENGTH,
    citation=citations.MARCO,
    description=(
        "aspect-preserving square of 770 pixels, padded at the bottom right, <=, per image; a box is scaled "
        "by two factors, points by one (MARCO)"
    ),
)

OMNIPROBE = ProtocolSpec(
    name="omniprobe",
    frame="padded",
    strict=True,
    side=800,
    place="corner",
    # The points of each category pooled, and the mean over categories.
    averaging="category-point",
    alphas=(0.10,),
    # Annotations and their places in the frame are kept as integers there, which drops the decimals.
    whole_pixels=True,
    citation=citations.SOCO,
    description=(
        "aspect-preserving square of 800 pixels, padded at the bottom right, <, true points cut to whole "
        "pixels, per point in a category and then over categories (OmniProbe)"
    ),
)

BUILTIN = (SD4MATCH, ORIGINAL, PADDED, MARCO, OMNIPROBE)


def frame_of(protocol: ProtocolSpec, original: Size, fed: Size) -> Frame:
    """The frame in which errors on an image of size `original` are measured; `fed` is the size the extractor
    was fed.
    """
    if protocol.frame == "stretched":
        return Frame.stretched(original, fed)
    if protocol.frame == "padded":
        return Frame.padded(original, protocol.side or max(fed), protocol.place)
    return Frame.unchanged(original)
