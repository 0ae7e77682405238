"""What a recipe must know of a vision transformer before it is loaded: its native size, its patch, how many blocks it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from harness.errors import UserError

ARCHITECTURES: Mapping[str, str] = {
    "vit": "ViTModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
}
"""`model_type` in config.json -> class of transformers."""


@dataclass(frozen=True)
class VitCard:
    """Read from the `config.json` of a folder as transformers saves it.

    Attributes:
        architecture: class of transformers.
        native: side in pixels of the images it was trained on, as the configuration says: 224 for DINOv1, 518 for DINOv2.
        patch: side of a patch in pixels.
        layers: number of blocks.
        width: channels of a token.
        prefix: tokens that are no patches: the class token and the registers, which come first.
    """

    architecture: str
    native: int
    patch: int
    layers: int
    width: int
    prefix: int

    @classmethod
    def of(cls, folder: Path) -> VitCard:
        """The card of a folder. Raises `UserError` where it is none, or of another architecture."""
        path = folder / "config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
            told = getattr(error, "strerror", None) or error
            raise UserError(
                f"{path}: {told}; a DINO is a folder as transformers saves it: config.json, model.safetensors"
            ) from error
        kind = str(config.get("model_type")) if isinstance(config, dict) else "missing"
        if kind not in ARCHITECTURES:
            raise UserError(
                f"{path}: model_type is '{kind}', not that of a DINO; known: {', '.join(ARCHITECTURES)}"
            )
        try:
            return cls(
                architecture=ARCHITECTURES[kind],
                native=_side(config["image_size"]),
                patch=_side(config["patch_size"]),
                layers=int(config["num_hidden_layers"]),
                width=int(config["hidden_size"]),
                prefix=1 + int(config.get("num_register_tokens", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: not the configuration of a vision transformer ({error!r})") from error

    def side(self, factor: Fraction) -> int:
        """Side in pixels of a square `factor` times as large as the native one, to the nearest whole number of patches."""
        return self.patch * max(1, round(self.native * factor / self.patch))

    def stride(self, share: Fraction) -> int:
        """Pixels from one patch to the next, given as a share of the patch.

        Raises:
            UserError: if that is no whole number of pixels, or does not divide the patch.
        """
        pixels = self.patch * share
        if pixels.denominator != 1 or pixels < 1 or self.patch % int(pixels):
            raise UserError(
                f"a stride of {share} patches of {self.patch} pixels is {float(pixels):g} pixels, which does not divide the patch"
            )
        return int(pixels)


def _side(value: Any) -> int:
    """A side that a configuration writes as one number, or as two equal ones. Raises ValueError."""
    sides = {int(one) for one in value} if isinstance(value, list) else {int(value)}
    if len(sides) != 1 or min(sides) < 1:
        raise ValueError(f"{value} is not the size of a square")
    return sides.pop()
