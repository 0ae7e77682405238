"""What a recipe must know of a Stable Diffusion before it is loaded: its native size, and which places the papers' names mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError


@dataclass(frozen=True)
class Card:
    """Read from a pipeline's configuration files.

    Attributes:
        native: side in pixels of the images it was trained on: 768 for SD 2-1, 512 for SD 1-5. Sizes in recipes are multiples of it.
        factor: pixels to a latent, 8 for every published one.
        prediction: what the U-Net predicts, `epsilon` or `v_prediction`.
        text_width: width of the states that cross-attention reads.
        time_width: width of the timestep's embedding.
        levels: names that papers use -> submodule of the U-Net.
        strides: the same names -> pixels to a cell.
    """

    native: int
    factor: int
    prediction: str
    text_width: int
    time_width: int
    levels: Mapping[str, str]
    strides: Mapping[str, int]

    @classmethod
    def of(cls, folder: Path) -> Card:
        """The card of a pipeline folder. Raises `UserError` where it is none."""
        unet, vae = (_config(folder / part / "config.json") for part in ("unet", "vae"))
        scheduler = _config(folder / "scheduler" / "scheduler_config.json")
        try:
            factor = 2 ** (len(vae["block_out_channels"]) - 1)
            return cls(
                native=int(unet["sample_size"]) * factor,
                factor=factor,
                prediction=str(scheduler.get("prediction_type", "epsilon")),
                text_width=int(unet["cross_attention_dim"]),
                time_width=4 * int(unet["block_out_channels"][0]),
                levels=_levels(unet),
                strides=_strides(len(unet["up_block_types"]), factor),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{folder}: not the configuration of a Stable Diffusion ({error!r})") from error


def _levels(unet: Mapping[str, Any]) -> dict[str, str]:
    """`up-block i`: the output of decoder block i, after its upsampler (DIFT, SD4Match).

    `s5`, `s4`, `s3`: the decoder's state before the last skip connection of its first, second and third block joins it (SD+DINO). That is
    the output of the last layer but one, behind its attention where it has one.
    """
    kinds, layer = unet["up_block_types"], int(unet["layers_per_block"]) - 1
    levels = {f"up-block {number}": f"up_blocks.{number}" for number in range(len(kinds))}
    for number, name in enumerate(("s5", "s4", "s3")):
        levels[name] = (
            f"up_blocks.{number}.{'attentions' if 'CrossAttn' in kinds[number] else 'resnets'}.{layer}"
        )
    return levels


def _strides(blocks: int, factor: int) -> dict[str, int]:
    """Decoder block i works on cells of 2 ** (blocks - 1 - i) latents, and upsamples at its end, but for the last one."""
    strides = {f"up-block {number}": factor * 2 ** max(blocks - 2 - number, 0) for number in range(blocks)}
    return strides | {
        name: factor * 2 ** (blocks - 1 - number) for number, name in enumerate(("s5", "s4", "s3"))
    }


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: {getattr(error, 'strerror', None) or error}; a Stable Diffusion is a folder as diffusers saves it"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a configuration")
    return content
