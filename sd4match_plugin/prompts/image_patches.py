"""What the conditional prompting module sees of an image: a DINO's patches, or its class token, of the processor's own square."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from baselines.networks.pixels import IMAGENET_MEAN, IMAGENET_STD
from baselines.vit.backbone import VisionTransformer
from baselines.vit.card import VitCard
from harness.errors import UserError

PROCESSOR = "preprocessor_config.json"

DINOV2_NATIVE, DINOV2_FED = 518, 224
"""DINOv2's configuration says 518 pixels; its processor feeds 224, which is what SD4Match's patches come from."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes what the network is fed.

    Attributes:
        resize: the shorter side in pixels, aspect ratio kept; or (width, height), aspect ratio ignored; None leaves the picture as it is.
        crop: (width, height) cut out of the centre, on black where the picture is smaller; None for all of it.
        resample: number of Pillow's filter.
        scale: factor of the pixels' values 0 to 255.
        mean, deviation: of red, green and blue, after scaling.
    """

    resize: int | tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: int = int(PIL.Image.Resampling.BICUBIC)
    scale: float = 1 / 255
    mean: Triple = IMAGENET_MEAN
    deviation: Triple = IMAGENET_STD

    @classmethod
    def of(cls, folder: Path) -> Preprocessing:
        """What a folder of weights says in its `preprocessor_config.json`; without one, DINOv2's rule at the backbone's own size.

        DINOv2's rule: the shorter side to 256 pixels (bicubic), the central 224 x 224, ImageNet's mean and deviation; for a backbone of
        another size both numbers are scaled.

        Raises:
            UserError: the file is damaged.
        """
        path = folder / PROCESSOR
        if not path.is_file():
            side = fed_side(VitCard.of(folder))
            return cls(resize=round(side * 256 / 224), crop=(side, side))
        try:
            return cls._read(json.loads(path.read_text(encoding="utf-8")))
        except (
            OSError,
            json.JSONDecodeError,
            UnicodeDecodeError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            raise UserError(
                f"{path}: not the configuration of an image processor ({error!r}); fetch or copy it again"
            ) from error

    @classmethod
    def _read(cls, config: Mapping[str, Any]) -> Preprocessing:
        cropped = bool(config.get("do_center_crop", False))
        normalised = bool(config.get("do_normalize", True))
        mean, deviation = (
            (config["image_mean"], config["image_std"]) if normalised else ((0.0,) * 3, (1.0,) * 3)
        )
        return cls(
            resize=_resize(config["size"], cropped) if config.get("do_resize", True) else None,
            crop=_square(config["crop_size"]) if cropped else None,
            resample=int(config.get("resample", PIL.Image.Resampling.BICUBIC)),
            scale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
            mean=_triple(mean),
            deviation=_triple(deviation),
        )

    def __call__(self, image: PIL.Image.Image) -> torch.Tensor:
        """RGB picture -> (3, H, W) float32."""
        image = self._cropped(self._resized(image.convert("RGB")))
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) * np.float32(self.scale)).permute(
            2, 0, 1
        )
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (self.mean, self.deviation))
        return (pixels - mean) / deviation

    def _resized(self, image: PIL.Image.Image) -> PIL.Image.Image:
        if self.resize is None:
            return image
        size = self.resize if isinstance(self.resize, tuple) else _shortest(image.size, self.resize)
        return image.resize(size, PIL.Image.Resampling(self.resample))

    def _cropped(self, image: PIL.Image.Image) -> PIL.Image.Image:
        if self.crop is None:
            return image
        width, height = self.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    @property
    def key(self) -> str:
        """What tells it from others, for caches."""
        return json.dumps(asdict(self), sort_keys=True)


def fed_side(card: VitCard) -> int:
    """Side in pixels of the square that a backbone without a processor is fed, in whole patches."""
    side = DINOV2_FED if card.native == DINOV2_NATIVE else card.native
    return max(1, side // card.patch) * card.patch


class ImagePatches:
    """A frozen DINO that describes pictures.

    Every picture is computed by itself, so that its features do not depend on the others, to the byte.

    Args:
        folder: as transformers saves it.
        precision: `fp32`, `bf16` or `fp16` of the network; what it returns is float32 on the CPU.

    Attributes:
        width: W, channels of a token.
        count: P, patches of a picture; 256 for DINOv2's base model.
        preprocessing: from picture to pixels.

    Raises:
        UserError: the folder lacks something, is damaged, or its processor's square is no whole number of patches.
    """

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "fp32") -> None:
        self.preprocessing = Preprocessing.of(folder)
        self.width, self.count = token_shape(folder)
        self._backbone = VisionTransformer(folder, device, precision)

    def patches(self, images: Sequence[PIL.Image.Image]) -> torch.Tensor:
        """n RGB pictures -> (n, P, W) patch tokens after the final norm, in rows from the top left; class token and registers left out."""
        return torch.stack([self._tokens(image)[self._backbone.card.prefix :] for image in images])

    def heads(self, images: Sequence[PIL.Image.Image]) -> torch.Tensor:
        """n RGB pictures -> (n, W) class tokens after the final norm: DINOv2's pooled output."""
        return torch.stack([self._tokens(image)[0] for image in images])

    @torch.no_grad()
    def _tokens(self, image: PIL.Image.Image) -> torch.Tensor:
        """(tokens, W) after the final norm."""
        backbone = self._backbone
        # DINOv1 takes other sizes than its own only when told to; the others always do.
        options = {"interpolate_pos_encoding": True} if backbone.card.architecture == "ViTModel" else {}
        pixels = self.preprocessing(image)[None].to(backbone.device, backbone.dtype)
        states: torch.Tensor = backbone.model(pixels, **options).last_hidden_state[0]
        return states.float().cpu()


def token_shape(folder: Path) -> tuple[int, int]:
    """(W, P): channels of a token, and patches of a picture, known without loading the network.

    Raises:
        UserError: the folder is no DINO's, or its processor's picture is of no fixed size, or no whole number of patches.
    """
    card, preprocessing = VitCard.of(folder), Preprocessing.of(folder)
    size = preprocessing.crop or preprocessing.resize
    if not isinstance(size, tuple):
        raise UserError(
            f"{folder / PROCESSOR}: pictures keep their aspect ratio, prompts need the same number of patches of each"
        )
    width, height = size
    if width % card.patch or height % card.patch:
        raise UserError(
            f"{folder / PROCESSOR}: {width} x {height} pixels are no whole number of patches of {card.patch} pixels"
        )
    return card.width, (width // card.patch) * (height // card.patch)


def _shortest(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) with the shorter side `side`; the longer one cut to whole pixels, as transformers does."""
    width, height = size
    return (side, int(side * height / width)) if width <= height else (int(side * width / height), side)


def _resize(size: Any, cropped: bool) -> int | tuple[int, int]:
    """`{"shortest_edge": 256}`, `{"height": 224, "width": 224}`, or one number: in older files the shorter side of what is cropped."""
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return int(size["shortest_edge"])
    return int(size) if cropped and not isinstance(size, Mapping) else _square(size)


def _square(size: Any) -> tuple[int, int]:
    """(width, height) of `{"height": 224, "width": 224}`, or of one number."""
    return (int(size["width"]), int(size["height"])) if isinstance(size, Mapping) else (int(size), int(size))


def _triple(values: Sequence[float]) -> Triple:
    red, green, blue = map(float, values)
    return red, green, blue
