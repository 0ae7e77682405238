"""A DINO's patches of an image, or its class token, for the conditional prompting module."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from baselines.networks.pixels import IMAGENET_MEAN, IMAGENET_STD, Channels, normalize_pixels
from baselines.vit.backbone import VisionTransformer
from baselines.vit.card import MOST_SIDE, VitCard
from harness.errors import UserError
from harness.networks.json_files import read_object

PROCESSOR = "preprocessor_config.json"

DINOV2_NATIVE, DINOV2_FED = 518, 224
"""DINOv2's configuration says 518 pixels; its processor feeds 224, and SD4Match's patches come from those."""


@dataclass(frozen=True)
class Preprocessing:
    """The steps from a picture to the network's input.

    Attributes:
        resize: the shorter side in pixels, aspect ratio kept; or (width, height), aspect ratio ignored; None
            leaves the picture as it is.
        crop: (width, height) cut out of the centre, on black where the picture is smaller; None for all of
            it.
        resample: number of Pillow's filter.
        scale: factor of the pixels' values 0 to 255.
        mean, deviation: of red, green and blue, after scaling.
    """

    resize: int | tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: int = int(PIL.Image.Resampling.BICUBIC)
    scale: float = 1 / 255
    mean: Channels = IMAGENET_MEAN
    deviation: Channels = IMAGENET_STD

    @classmethod
    def of(cls, folder: Path) -> Preprocessing:
        """Reads the `preprocessor_config.json` of a folder of weights; without one, applies DINOv2's rule at
        the backbone's own size.

        DINOv2's rule: the shorter side to 256 pixels (bicubic), the central 224 x 224, ImageNet's mean and
        deviation; for a backbone of another size both numbers are scaled.

        Raises:
            UserError: the file is damaged.
        """
        path = folder / PROCESSOR
        if not path.is_file():
            side = input_side(VitCard.of(folder))
            return cls(resize=round(side * 256 / 224), crop=(side, side))
        try:
            return cls._read(read_object(path, "fetch or copy it again"))
        # OverflowError: an infinite number in the place of a whole one.
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(
                f"{path}: not the configuration of an image processor ({error!r}); fetch or copy it again"
            ) from error

    @classmethod
    def _read(cls, config: Mapping[str, Any]) -> Preprocessing:
        is_cropped = bool(config.get("do_center_crop", False))
        resize, crop = None, None
        if config.get("do_resize", True):
            resize = _parse_resize(config["size"], is_cropped)
        if is_cropped:
            crop = _parse_square(config["crop_size"])
        scale = 1.0
        if config.get("do_rescale", True):
            scale = float(config.get("rescale_factor", 1 / 255))
        mean: Sequence[float] = (0.0, 0.0, 0.0)
        deviation: Sequence[float] = (1.0, 1.0, 1.0)
        if config.get("do_normalize", True):
            mean, deviation = config["image_mean"], config["image_std"]
        return cls(
            resize=resize,
            crop=crop,
            resample=int(config.get("resample", PIL.Image.Resampling.BICUBIC)),
            scale=scale,
            mean=_parse_channels(mean),
            deviation=_parse_channels(deviation),
        )

    def __call__(self, image: PIL.Image.Image) -> torch.Tensor:
        """RGB picture -> (3, H, W) float32."""
        image = self._crop(self._resize(image.convert("RGB")))
        values = np.asarray(image, dtype=np.float32) * np.float32(self.scale)
        return normalize_pixels(torch.from_numpy(values).permute(2, 0, 1), self.mean, self.deviation)

    def _resize(self, image: PIL.Image.Image) -> PIL.Image.Image:
        if self.resize is None:
            return image
        size = self.resize
        if not isinstance(size, tuple):
            size = _size_of_shorter_side(image.size, size)
        return image.resize(size, PIL.Image.Resampling(self.resample))

    def _crop(self, image: PIL.Image.Image) -> PIL.Image.Image:
        if self.crop is None:
            return image
        width, height = self.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    @property
    def key(self) -> str:
        """Text that differs between any two of them, for caches."""
        return json.dumps(asdict(self), sort_keys=True)


def input_side(card: VitCard) -> int:
    """Side in pixels of the square that a backbone without a processor is fed, in whole patches."""
    side = DINOV2_FED if card.native == DINOV2_NATIVE else card.native
    return max(1, side // card.patch) * card.patch


class ImagePatches:
    """A frozen DINO that describes pictures.

    Each picture is computed by itself, so that its features do not depend on the others, to the byte.

    Args:
        folder: as transformers saves it.
        precision: `fp32`, `bf16` or `fp16` of the network; what it returns is float32 on the CPU.
        position_offset: as of `VisionTransformer`.

    Attributes:
        width: W, channels of a token.
        count: P, patches of a picture; 256 for DINOv2's base model.
        preprocessing: from picture to pixels.

    Raises:
        UserError: the folder lacks something, is damaged, or its processor's square is not a whole number of
            patches.
    """

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        precision: str = "fp32",
        position_offset: float | None = None,
    ) -> None:
        self.preprocessing = Preprocessing.of(folder)
        self.width, self.count = token_shape(folder)
        self._backbone = VisionTransformer(folder, device, precision, position_offset=position_offset)

    def patches(self, images: Sequence[PIL.Image.Image]) -> torch.Tensor:
        """n RGB pictures -> (n, P, W) patch tokens after the final norm, in rows from the top left, without
        class token and registers.
        """
        return torch.stack([self._tokens(image)[self._backbone.card.prefix :] for image in images])

    def heads(self, images: Sequence[PIL.Image.Image]) -> torch.Tensor:
        """n RGB pictures -> (n, W) class tokens after the final norm: DINOv2's pooled output."""
        return torch.stack([self._tokens(image)[0] for image in images])

    @torch.no_grad()
    def _tokens(self, image: PIL.Image.Image) -> torch.Tensor:
        """(tokens, W) after the final norm."""
        backbone = self._backbone
        # DINOv1 takes other sizes than its own only with this option; the others always do.
        options = {"interpolate_pos_encoding": True} if backbone.card.architecture == "ViTModel" else {}
        pixels = self.preprocessing(image)[None].to(backbone.device, backbone.dtype)
        states: torch.Tensor = backbone.model(pixels, **options).last_hidden_state[0]
        return states.float().cpu()


def token_shape(folder: Path) -> tuple[int, int]:
    """(W, P): channels of a token, and patches of a picture, read without loading the network.

    Raises:
        UserError: the folder holds another network, or its processor's pictures differ in size or are not
            whole numbers of patches.
    """
    card, preprocessing = VitCard.of(folder), Preprocessing.of(folder)
    size = preprocessing.crop or preprocessing.resize
    if not isinstance(size, tuple):
        raise UserError(
            f"{folder / PROCESSOR}: pictures keep their aspect ratio, "
            "prompts need the same number of patches of each"
        )
    width, height = size
    if width % card.patch or height % card.patch:
        raise UserError(
            f"{folder / PROCESSOR}: {width} x {height} pixels are "
            f"not a whole number of patches of {card.patch} pixels"
        )
    return card.width, (width // card.patch) * (height // card.patch)


def _size_of_shorter_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) with the shorter side `side`; the other one cut to whole pixels, as in transformers."""
    width, height = size
    if width <= height:
        return side, int(side * height / width)
    return int(side * width / height), side


def _parse_resize(size: Any, is_cropped: bool) -> int | tuple[int, int]:
    """`{"shortest_edge": 256}`, `{"height": 224, "width": 224}`, or one number: in older files the shorter
    side of pictures that are cropped.
    """
    if not isinstance(size, Mapping):
        return _parse_side(size) if is_cropped else _parse_square(size)
    if "shortest_edge" in size:
        return _parse_side(size["shortest_edge"])
    return _parse_square(size)


def _parse_square(size: Any) -> tuple[int, int]:
    """(width, height) of `{"height": 224, "width": 224}`, or of one number."""
    if isinstance(size, Mapping):
        return _parse_side(size["width"]), _parse_side(size["height"])
    return _parse_side(size), _parse_side(size)


def _parse_side(value: Any) -> int:
    """A side in pixels. Raises `ValueError` for one that no picture is resized to."""
    side = int(value)
    if not 1 <= side <= MOST_SIDE:
        raise ValueError(f"a side of {value!r:.40} pixels")
    return side


def _parse_channels(values: Sequence[float]) -> Channels:
    red, green, blue = map(float, values)
    return red, green, blue
