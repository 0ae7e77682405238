"""The published evaluation protocols, as data (`harness.scoring.pck` carries them out)."""

from __future__ import annotations

from harness.frames import Frame, Size
from harness.specs import ProtocolSpec

SD4MATCH = ProtocolSpec(
    name="sd4match",
    frame="stretched",
    strict=False,
    # As in the published code, which keeps target points this far inside the image.
    clamp=1e-4,
    description=(
        "the stretched square the extractor was fed, target points clamped into it, <=, per image "
        "(SD4Match; the default)"
    ),
)

ORIGINAL = ProtocolSpec(
    name="original",
    frame="original",
    strict=False,
    description="original pixels, <=, per image (DIFT)",
)

PADDED = ProtocolSpec(
    name="padded",
    frame="padded",
    strict=True,
    # The frame of the published evaluations: the square that DINOv2 is fed there.
    side=840,
    description="aspect-preserving square of 840 pixels, <, per image (SD+DINO, GeoAware-SC)",
)

BUILTIN = (SD4MATCH, ORIGINAL, PADDED)


def frame_of(protocol: ProtocolSpec, original: Size, fed: Size) -> Frame:
    """The frame in which errors on an image of size `original` are measured; `fed` is the size the extractor
    was fed.
    """
    if protocol.frame == "stretched":
        return Frame.stretched(original, fed)
    if protocol.frame == "padded":
        return Frame.padded(original, protocol.side or max(fed))
    return Frame.unchanged(original)
