"""MARCO's extractor, reading, recipe and weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from baselines.citations import DINOV2
from harness.citations import MARCO
from harness.localizers.make import make_localizer
from harness.specs import (
    NOT_STATED,
    ExtractorSpec,
    ImageExtractor,
    LocalizerSpec,
    MakeContext,
    MethodSpec,
    RemoteFile,
    WeightSource,
)
from heads.marco.names import BACKBONE, SOURCE
from heads.weights import bundled_head, read_training


def _input_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    """Width and height in pixels that the network is fed. Raises `UserError` for a damaged backbone."""
    from heads.marco.extractor import input_side

    side = input_side(weights)
    return side, side


def _make_extractor(context: MakeContext) -> ImageExtractor:
    from heads.marco.extractor import MarcoFeatures

    return MarcoFeatures(context)


EXTRACTORS = (
    ExtractorSpec(
        name="marco",
        make=_make_extractor,
        image_size=_input_size,
        params={"fit": "pad"},
        param_help={
            "fit": "pad: the longer side fills the square, with zeros below or to the right; stretch: both do"
        },
        param_choices={"fit": ("pad", "stretch")},
        weights=(BACKBONE, SOURCE),
        citation=MARCO,
        description="tokens of an adapted DINOv2 with registers, enlarged four times",
    ),
)

LOCALIZERS = (
    LocalizerSpec(
        name="marco",
        make=partial(make_localizer, "heads.marco.localizer", "MarcoTransfer"),
        options={
            "sigma": 7.0,
            "temperature": 10.0,
            "relative_to": None,
            "normalize": False,
            "half_pixel": False,
        },
        grid="corner",
        matches=frozenset({"volume"}),
        citation=MARCO,
        description="soft-argmax of dot products around the best cell; queries read at x w / W (MARCO)",
    ),
)

METHODS = (
    MethodSpec(
        name="marco",
        extractor="marco",
        localizer="marco",
        supervision="K",
        trained_on="spair-71k",
        tuned_on=(NOT_STATED,),
        description="MARCO (2026): adapters in DINOv2 ViT-L/14 with registers, 220 x 220 cells, 770 x 770",
        citation=f"{MARCO}\n\n{DINOV2}",
        notes=(
            "Follows the authors' code: the longer side is resized to 770 (Pillow's bilinear), normalised, "
            "and padded with zeros below or to the right; last tokens after the final norm; no feature is "
            "made of length 1. On another backbone: 770/518 of its native size, in whole patches. Points "
            "are carried over by one factor, the authors' by the whole pixels of the resized picture, less "
            "than half a pixel apart. Their code prepares pictures in two ways: those of AP-10K, of "
            "PF-PASCAL and of the demonstration are padded, while those of SPair-71k and SPair-U are "
            "stretched to the square at commit ab6e8eb (--set fit=stretch) and padded at commit 1ec16b9, as "
            "that is described; which way printed numbers were made is not said. The "
            "demonstration takes 840 pixels, the evaluation 770. Queries are read at x w / W and "
            "predictions written at x (W - 1) / (w - 1), as theirs; half_pixel moves queries by half a "
            "cell. Sigma is 7 cells whatever their number. The training program measures the test split "
            "after each epoch; how the published epoch was chosen is not stated. Whether a threshold's box "
            "is scaled as the points are is a protocol's matter, on which no prediction depends."
        ),
    ),
)

_RELEASE = "marco_release.pth"

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file=_RELEASE,
        downloads=(
            RemoteFile(f"https://github.com/visinf/MARCO/releases/download/v1.0/{_RELEASE}", _RELEASE),
        ),
        stand_in="tiny-marco",
        training=read_training,
        advice="the release does not say which of the authors' two files on Google Drive it is: "
        "marco_spair.pth (drive.google.com/file/d/1_of8iQjenTttF5Jld69LNf9M0vnM2Xbx) or marco_ap_spair.pth, "
        "trained on AP-10K first (drive.google.com/file/d/1d2If4nBUy7SjFberZVuXsFr_zqLXvoU8); get one with a "
        "browser and give --weights marco=FILE",
        citation=MARCO,
        description="MARCO's adapters and upsampling for DINOv2 ViT-L/14 with registers; "
        "github.com/visinf/MARCO, Apache-2.0; read with torch.load(weights_only=True)",
    ),
    bundled_head(SOURCE, "small adapters and upsampling for tiny-dino, trained on keypoints"),
)
