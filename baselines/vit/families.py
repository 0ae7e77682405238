"""Vision transformers of transformers: a card for each known family, the rest from the configuration.

Read without torch. A card says where the patches are among the tokens, and how pixels are normalised where
the folder has no `preprocessor_config.json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from baselines.networks.pixels import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, Channels
from baselines.stated_values import check_values
from baselines.vit.card import MOST_SIDE, VitCard, square_side
from harness.errors import UserError
from harness.messages import first_line
from harness.networks.configuration import read_configuration
from harness.networks.json_files import read_object

Positions = Literal["learned", "rotary", "fixed"]
"""How a network knows where a patch is: positions that can be interpolated to any grid of patches, rotation
by the patch's centre, or some other way, which does not let patches overlap."""

_HALF: Channels = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Family:
    """What is known of the networks of one `model_type`.

    Attributes:
        title: for readers.
        network: class of transformers.
        prefix: special tokens before the patches, without registers; None where running it shows them.
        mean, std: of pixels in [0, 1], where the folder does not say.
        values: key of the configuration -> transformers' default, where a file leaves it out.
        is_pixels_known: whether all networks of the family have that mean and deviation.
        has_projections: whether queries, keys and values are layers of their own.
        has_norm: whether there is a norm after the last block.
    """

    title: str
    network: str
    prefix: int | None = 1
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    positions: Positions = "learned"
    values: Mapping[str, int] = field(default_factory=dict)
    is_pixels_known: bool = True
    has_projections: bool = True
    has_norm: bool = True


_SIZES = {"image_size": 224, "patch_size": 16, "num_hidden_layers": 12, "hidden_size": 768}


def _family(
    title: str, network: str, prefix: int = 1, positions: Positions = "learned", **values: int
) -> Family:
    return Family(title, network, prefix, positions=positions, values={**_SIZES, **values})


def _clip() -> Family:
    values = {**_SIZES, "patch_size": 32}
    return Family("CLIP (vision tower)", "CLIPVisionModel", 1, CLIP_MEAN, CLIP_STD, values=values)


def _siglip(title: str, network: str, positions: Positions, values: Mapping[str, int]) -> Family:
    return Family(title, network, 0, _HALF, _HALF, positions, values)


_SIGLIP = _siglip("SigLIP, SigLIP 2 (vision tower)", "SiglipVisionModel", "learned", _SIZES)
_SIGLIP2 = _siglip(
    "SigLIP 2 NaFlex (vision tower)",
    "Siglip2VisionModel",
    "fixed",
    {name: value for name, value in _SIZES.items() if name != "image_size"} | {"num_patches": 256},
)
_SAM = replace(
    _family("SAM (image encoder)", "SamVisionModel", 0, "fixed", image_size=1024),
    has_projections=False,
    has_norm=False,
)

FAMILIES: Mapping[str, Family] = {
    # Supervised ones have a mean and deviation of 0.5, and the same model_type.
    "vit": Family("ViT, DINO", "ViTModel", values=_SIZES, is_pixels_known=False),
    "dinov2": _family("DINOv2", "Dinov2Model", patch_size=14),
    "dinov2_with_registers": _family(
        "DINOv2 with registers", "Dinov2WithRegistersModel", num_register_tokens=4
    ),
    "dinov3_vit": _family(
        "DINOv3", "DINOv3ViTModel", positions="rotary", hidden_size=384, num_register_tokens=0
    ),
    "clip": _clip(),
    "clip_vision_model": _clip(),
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "siglip2": _SIGLIP2,
    "siglip2_vision_model": _SIGLIP2,
    "vit_mae": _family("MAE", "ViTMAEModel"),
    "vit_msn": _family("MSN", "ViTMSNModel"),
    "ijepa": _family("I-JEPA", "IJepaModel", 0),
    "sam": _SAM,
    "sam_vision_model": _SAM,
    "deit": _family("DeiT", "DeiTModel", 2),
    # They average the patches in the place of a norm.
    "beit": Family("BEiT", "BeitModel", 1, _HALF, _HALF, "fixed", _SIZES, has_norm=False),
    "data2vec-vision": replace(_family("data2vec", "Data2VecVisionModel", positions="fixed"), has_norm=False),
}
"""`model_type` of `config.json` -> family."""

_FOLDER = "give a folder as transformers saves it: config.json, model.safetensors"


@dataclass(frozen=True)
class AnyCard:
    """A vision transformer's sizes and input, read from its folder.

    Attributes:
        family: the known one, or what the configuration says of another.
        is_known: whether the family is one of `FAMILIES`.
        sizes: of the network; its `prefix` holds for known families only.
        mean, std: of pixels in [0, 1].
        remarks: what was inferred, as sentences.
    """

    family: Family
    is_known: bool
    sizes: VitCard
    mean: Channels
    std: Channels
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> AnyCard:
        """Reads a folder. Raises `UserError` if it does not hold a vision transformer."""
        path = folder / "config.json"
        config = read_configuration(path, _FOLDER)
        model_type = str(config.get("model_type", ""))
        if not model_type:
            raise UserError(f"{path}: has no model_type, which names the kind of network; {_FOLDER}")
        inner = config.get("vision_config")
        vision = dict(inner) if isinstance(inner, Mapping) else config
        known = FAMILIES.get(model_type)
        family = known or _infer_family(path, model_type, config, vision)
        remarks = []
        if known is None:
            remarks.append(
                f"{model_type} is not among the known families: sizes are those of config.json, and the "
                "special tokens are counted by running the network."
            )
        check_values(path, vision, family.values)
        sizes = _read_sizes(path, family, vision)
        mean, std, is_stated = _read_pixels(folder, family)
        if not is_stated and not family.is_pixels_known:
            remarks.append(
                f"There is no preprocessor_config.json at {folder.name}: pixels are normalised by ImageNet's "
                "mean and deviation."
            )
        return cls(family, known is not None, sizes, mean, std, tuple(remarks))

    def side(self, size: int | None) -> int:
        """Side in pixels of the square that is fed, in whole patches: `size`, or the native one for None.

        Raises:
            UserError: the size is less than a pixel, or more than `MOST_SIDE`.
        """
        if size is not None and not 1 <= size <= MOST_SIDE:
            raise UserError(f"--set size: {size} is not a number of pixels from 1 to {MOST_SIDE:,}")
        patch = self.sizes.patch
        # Half a patch is rounded up, and not to the even number.
        return patch * max(1, math.floor(Fraction(size or self.sizes.native, patch) + Fraction(1, 2)))

    def check_facet(self, facet: str) -> None:
        """Raises `UserError` for a facet that a known family does not have; others show it when they run."""
        if facet == "token-norm" and not self.family.has_norm:
            raise UserError(no_norm(self.family.network))
        if facet in ("key", "query", "value") and not self.family.has_projections:
            raise UserError(no_projection(self.family.network, facet))

    def check_stride(self, stride: int) -> None:
        """Raises `UserError` for patches that overlap, of a network that takes none.

        Args:
            stride: pixels from one patch to the next.
        """
        if stride < self.sizes.patch and self.family.positions == "fixed":
            raise UserError(
                f"{self.family.network} takes no overlapping patches, since its positions belong to the "
                "grid; set stride to 1"
            )

    def size_remarks(self, size: int | None) -> tuple[str, ...]:
        """A sentence where the side is not the one that was asked for."""
        side, wanted = self.side(size), size or self.sizes.native
        if side == wanted:
            return ()
        return (f"{wanted} pixels are not whole patches of {self.sizes.patch}: the image is fed at {side}.",)


def no_projection(network: str, facet: str) -> str:
    """What to say of a network without keys, queries or values."""
    return f"{network} does not project {facet} by itself; take the facet token"


def no_norm(network: str) -> str:
    """What to say of a network without a norm after its last block."""
    return f"{network} has no norm after its last block; take the facet token"


def _read_sizes(path: Path, family: Family, vision: Mapping[str, Any]) -> VitCard:
    values = {**family.values, **{key: value for key, value in vision.items() if value is not None}}
    try:
        if values.get("num_channels", 3) != 3:
            raise ValueError(f"num_channels is {values['num_channels']!r:.20}, and pictures have 3")
        patch = square_side(values["patch_size"])
        # SigLIP 2 states the number of patches.
        native = values.get("image_size")
        side = square_side(native) if native is not None else patch * math.isqrt(int(values["num_patches"]))
        layers, width = int(values["num_hidden_layers"]), int(values["hidden_size"])
        registers = int(values["num_register_tokens"]) if "num_register_tokens" in family.values else 0
        if layers < 1 or width < 1 or not 1 <= side <= MOST_SIDE:
            raise ValueError(f"{layers} blocks of width {width} for {side} pixels")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{path}: not the configuration of a vision transformer ({error!r:.150}); {_FOLDER}"
        ) from error
    return VitCard(family.network, side, patch, layers, width, (family.prefix or 0) + registers)


def _infer_family(
    path: Path, model_type: str, config: Mapping[str, Any], vision: Mapping[str, Any]
) -> Family:
    """A family that has no card: its class is the one that transformers has for it."""
    # By its names alone, without torch's classes.
    from huggingface_hub.errors import StrictDataclassError
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    from baselines.networks.loading import quiet

    half = str(vision.get("model_type", "")) if vision is not config else model_type
    network = MODEL_MAPPING_NAMES.get(half)
    if not isinstance(network, str) or half not in CONFIG_MAPPING:
        raise UserError(
            f"{path}: model_type is '{model_type}', of which transformers has no vision transformer; "
            f"known: {', '.join(FAMILIES)}"
        )
    try:
        # Some have another name for the number of blocks, which the class knows.
        with quiet():
            stated = CONFIG_MAPPING[half].from_dict(dict(vision))
    except (ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise UserError(
            f"{path}: not a configuration of {model_type} ({first_line(error, 120)}); copy or fetch it again"
        ) from error
    keys = ("image_size", "patch_size", "num_hidden_layers", "hidden_size")
    values = {key: value for key in keys if isinstance(value := getattr(stated, key, None), int)}
    missing = [key for key in keys if key not in values and not isinstance(vision.get(key), list)]
    if missing:
        raise UserError(
            f"{path}: model_type is '{model_type}', not that of a vision transformer, which has "
            f"{' and '.join(missing)}; known: {', '.join(FAMILIES)}"
        )
    return Family(model_type, network, None, positions="fixed", values=values, is_pixels_known=False)


def _read_pixels(folder: Path, family: Family) -> tuple[Channels, Channels, bool]:
    """Mean and deviation of pixels, and whether the folder states them."""
    path = folder / "preprocessor_config.json"
    if not path.exists():
        return family.mean, family.std, False
    config = read_object(path)
    if config.get("do_normalize", True) is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), True
    scale = config.get("rescale_factor", 1 / 255)
    if config.get("do_rescale", True) is False or not math.isclose(
        _number(path, scale), 1 / 255, rel_tol=1e-4
    ):
        raise UserError(
            f"{path}: do_rescale or rescale_factor ask for pixels that are not from 0 to 1; 'vit' feeds no "
            "others, so remove the file if the network was trained with them"
        )
    mean, std = config.get("image_mean"), config.get("image_std")
    if mean is None and std is None:
        return family.mean, family.std, False
    means, stds = _channels(path, "image_mean", mean), _channels(path, "image_std", std)
    if min(stds) <= 0:
        raise UserError(f"{path}: image_std is {std!r:.60}, not above 0; copy or fetch it again")
    return means, stds, True


def _channels(path: Path, key: str, value: Any) -> Channels:
    values = value if isinstance(value, list) and len(value) == 3 else [value] * 3
    red, green, blue = (_number(path, each, key) for each in values)
    return red, green, blue


def _number(path: Path, value: Any, key: str = "rescale_factor") -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise UserError(f"{path}: {key} is {value!r:.60}, not a number; copy or fetch it again")
    return float(value)
