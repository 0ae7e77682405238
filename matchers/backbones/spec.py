"""The ResNet as a backbone and, without any matcher, as a method of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.specs import ExtractorSpec, MakeContext, MethodSpec, RemoteFile, WeightSource
from matchers import citations
from matchers.backbones.published import IMAGE_SIZE, RESNET101

if TYPE_CHECKING:
    from matchers.backbones.levels import ResNetLevels


def _make(context: MakeContext) -> ResNetLevels:
    from matchers.backbones.levels import ResNetLevels

    return ResNetLevels(context)


EXTRACTORS = (
    ExtractorSpec(
        name="resnet",
        make=_make,
        image_size=(IMAGE_SIZE, IMAGE_SIZE),
        params={"levels": None, "before_relu": False, "image_size": None, "resize": "bilinear"},
        param_kinds={"levels": str, "image_size": int},
        param_choices={"resize": ("bilinear", "corners", "area")},
        param_help={
            "levels": "hyperpixel indices between commas, such as 0,8,20: 0 is the stem, then come the "
            "blocks; without them, the last block of layer3",
            "before_relu": "whether a block's sum is read before the ReLU that ends the block",
            "image_size": f"side in pixels that pictures are stretched to; without it, {IMAGE_SIZE}",
            "resize": "filter: bilinear (Pillow's, antialiased), corners (bilinear, corner to corner, not "
            "antialiased) or area (means)",
        },
        weights=(RESNET101,),
        description="levels of a ResNet, the stretched picture",
        citation=citations.RESNET,
    ),
)

METHODS = (
    MethodSpec(
        name="resnet",
        extractor="resnet",
        localizer="argmax",
        tuned_on=(),
        description="ResNet-101 (2016), trained on ImageNet: layer3 after the ReLU, 256 x 256",
        notes=(
            "Not a published recipe: the backbone of the matchers as it is, without any of them. The last "
            "block of layer3 after its ReLU, the level that NCNet and CHM correlate, of the picture "
            "stretched to 256 x 256 (Pillow's bilinear filter), as CATs does. Nothing was chosen by results."
        ),
        citation=citations.RESNET,
    ),
)

WEIGHTS = (
    WeightSource(
        name=RESNET101,
        file="resnet101-5d3b4d8f.pth",
        downloads=(
            RemoteFile(
                "https://download.pytorch.org/models/resnet101-5d3b4d8f.pth", "resnet101-5d3b4d8f.pth"
            ),
        ),
        stand_in="tiny-resnet",
        download_bytes=178_728_960,
        citation=citations.RESNET,
        description="torchvision's first ResNet-101, trained on ImageNet-1K, from which the matchers start; "
        "BSD-3-Clause; read with torch.load(weights_only=True)",
    ),
)
