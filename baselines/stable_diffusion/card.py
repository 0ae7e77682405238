"""Facts about a Stable Diffusion that a recipe needs before it is loaded: sizes and named levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.stable_diffusion.requirements import EXPECTED, check_inputs
from baselines.stable_diffusion.sparing import START
from baselines.tokens import check_tokens
from harness.errors import UserError
from harness.networks.configuration import read_configuration

DECODER_STATES = ("s5", "s4", "s3")
"""SD+DINO's names for states of the decoder's first, second and third block."""


@dataclass(frozen=True)
class Card:
    """Read from a pipeline's configuration files.

    Attributes:
        native: side in pixels of the images it was trained on: 768 for SD 2-1, 512 for SD 1-5. Sizes in
            recipes are multiples of it.
        factor: pixels from one latent to the next, 8 for every published one.
        timesteps: of the noise schedule; the last one is one less.
        prediction: output of the U-Net, `epsilon` or `v_prediction`.
        text_width: width of the states that cross-attention reads.
        time_width: width of the timestep's embedding.
        levels: names that papers use -> submodule of the U-Net.
        strides: the same names -> pixels from one position of the feature map to the next.
        channels: `DECODER_STATES` -> channels of each.
        prompted: names of the blocks that read the prompt, in the order in which they run -> submodule.
    """

    native: int
    factor: int
    timesteps: int
    prediction: str
    text_width: int
    time_width: int
    levels: Mapping[str, str]
    strides: Mapping[str, int]
    channels: Mapping[str, int]
    prompted: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path) -> Card:
        """Reads the card of a pipeline folder. Raises `UserError` if it does not hold a Stable Diffusion."""
        unet = read_configuration(folder / "unet" / "config.json", EXPECTED)
        vae = read_configuration(folder / "vae" / "config.json", EXPECTED)
        scheduler = read_configuration(folder / "scheduler" / "scheduler_config.json", EXPECTED)
        check_inputs(folder, unet, vae, scheduler)
        check_tokens(folder)
        try:
            # Every block of the encoder but the last halves the sides.
            factor = 2 ** (len(vae["block_out_channels"]) - 1)
            return cls(
                native=_latent_side(folder, unet.get("sample_size")) * factor,
                factor=factor,
                timesteps=int(scheduler["num_train_timesteps"]),
                # Older files leave the value out; diffusers then takes this one.
                prediction=str(scheduler.get("prediction_type", "epsilon")),
                text_width=int(unet["cross_attention_dim"]),
                # No file states it; diffusers derives it so.
                time_width=4 * int(unet["block_out_channels"][0]),
                levels=_levels(unet),
                strides=_strides(len(unet["up_block_types"]), factor),
                # The decoder goes through the encoder's widths from the last one back.
                channels=dict(
                    zip(DECODER_STATES, map(int, reversed(unet["block_out_channels"])), strict=False)
                ),
                prompted=_prompted(unet),
            )
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise UserError(f"{folder}: not the configuration of a Stable Diffusion ({error!r})") from error

    def check_timestep(self, timestep: int) -> None:
        """Raises `UserError` for a timestep that the noise schedule does not have."""
        if not 0 <= timestep < self.timesteps:
            raise UserError(f"--timestep {timestep}: the backbone has timesteps 0 to {self.timesteps - 1}")

    def submodule(self, level: str) -> str:
        """The submodule of a level's name. Raises `UserError` for a level that the U-Net does not have."""
        if level not in self.levels:
            raise UserError(f"level {level!r}: the backbone has {', '.join(self.levels)}")
        return self.levels[level]

    def first_prompted(self, name: str, level: str) -> str:
        """The submodule of the block from which on the prompt is read.

        Args:
            name: `start` for the first one that reads it, or a later block's name.
            level: of the features; the block runs before it, or is its own.

        Raises:
            UserError: no such block reads the prompt before the level.
        """
        last = int(self.submodule(level).split(".")[1])
        names = []
        for block, submodule in self.prompted.items():
            if not submodule.startswith("up_blocks.") or int(submodule.split(".")[1]) <= last:
                names.append(block)
        known = {START: self.prompted[names[0]]} if names else {}
        # The first block is `start`: two names would be two cells with the same numbers.
        known |= {block: self.prompted[block] for block in names[1:]}
        if name not in known:
            raise UserError(
                f"--set prompt_from: unknown block '{name:.60}'; "
                f"for level {level} the backbone has {', '.join(known) or 'none'}"
            )
        return known[name]


def _latent_side(folder: Path, value: Any) -> int:
    """Side of the latents. Raises `UserError` for what no network was trained on."""
    if not isinstance(value, int) or not 1 <= value <= 1024:
        path = folder / "unet" / "config.json"
        raise UserError(f"{path}: sample_size is {value!r:.60}, not the side of latents; {EXPECTED}")
    return value


def _prompted(unet: Mapping[str, Any]) -> dict[str, str]:
    """Blocks with cross-attention: `down-block i`, `mid-block` and `up-block i`."""
    kinds = {}
    for number, kind in enumerate(unet["down_block_types"]):
        kinds[f"down-block {number}", f"down_blocks.{number}"] = kind
    # Older files leave it out; diffusers then takes this one.
    kinds["mid-block", "mid_block"] = unet.get("mid_block_type", "UNetMidBlock2DCrossAttn")
    for number, kind in enumerate(unet["up_block_types"]):
        kinds[f"up-block {number}", f"up_blocks.{number}"] = kind
    return {name: submodule for (name, submodule), kind in kinds.items() if "CrossAttn" in str(kind)}


def _levels(unet: Mapping[str, Any]) -> dict[str, str]:
    """Submodules of the papers' levels.

    `up-block i`: the output of decoder block i, after its upsampler (DIFT, SD4Match).

    `s5`, `s4`, `s3`: the decoder's state before the last skip connection of its first, second and third block
    joins it (SD+DINO). That is the output of the last layer but one, behind its attention where it has one.
    """
    block_types = unet["up_block_types"]
    levels = {}
    for number in range(len(block_types)):
        levels[f"up-block {number}"] = f"up_blocks.{number}"
    # The decoder's blocks have one layer more than the configuration says: this is the last but one.
    layer = int(unet["layers_per_block"]) - 1
    for number, name in enumerate(DECODER_STATES):
        layers = "attentions" if "CrossAttn" in block_types[number] else "resnets"
        levels[name] = f"up_blocks.{number}.{layers}.{layer}"
    return levels


def _strides(blocks: int, factor: int) -> dict[str, int]:
    """Strides of the papers' levels.

    Decoder block i works with a stride of 2 ** (blocks - 1 - i) latents, and upsamples at its end, but for
    the last one.
    """
    strides = {}
    for number in range(blocks):
        halvings = max(blocks - 2 - number, 0)
        strides[f"up-block {number}"] = factor * 2**halvings
    for number, name in enumerate(DECODER_STATES):
        strides[name] = factor * 2 ** (blocks - 1 - number)
    return strides
