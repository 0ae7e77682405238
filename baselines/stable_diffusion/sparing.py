"""Features of many pairs for less: where the pair's prompt comes in, and where draws of noise are averaged.

Neither is exact. Both are defined by the picture alone, so that features depend on nothing else that ran:

- A later block is the first that reads the pair's prompt. Blocks before it read the picture's own prompt,
  and are computed once a picture. Exact where both prompts are one.
- The draws are averaged before the first block that reads the pair's prompt, and one pass does for all of
  them behind it. Exact for one draw.

Where encoder and decoder of a denoising U-Net change little, others reuse them, too, from step to step of
sampling: Faster Diffusion (Li et al., NeurIPS 2024) the encoder, DeepCache (Ma et al., CVPR 2024) the deep
blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

START = "start"
"""Value of the parameter `prompt_from`: the prompt is read wherever the network reads one."""

AVERAGED = ("end", "prompt")
"""Values of the parameter `draws_averaged`: the features themselves, or what the U-Net makes of the draws
before its first block that reads the pair's prompt."""


def average_draws(states: Mapping[str, torch.Tensor], draws: int) -> dict[str, torch.Tensor]:
    """Averages states over the draws of each image: name -> (n draws, ...) -> (n, ...), each of its dtype.

    Args:
        states: an image's draws are adjacent.
    """
    if draws == 1:
        # A mean may lie otherwise in memory, and other kernels round otherwise.
        return dict(states)
    averaged = {}
    for name, state in states.items():
        # Averages are taken in single precision, whatever the network's is.
        averaged[name] = state.unflatten(0, (-1, draws)).float().mean(dim=1).to(state.dtype)
    return averaged


def drop_unread(unet: Any, outputs: Mapping[str, torch.Tensor], submodule: str) -> dict[str, torch.Tensor]:
    """Drops the encoder's states that no decoder block reads up to the last one that runs.

    The U-Net counts them, so that one without channels takes the place of each: 11 MB are left of the 49 MB
    of a picture of 768 x 768, one draw in single precision, before the middle block of SD 2-1.

    Args:
        outputs: of the prefix, by `baselines.stable_diffusion.prefix.flatten_outputs`.
        submodule: the last that runs: a decoder block, or a part of one.
    """
    last = int(submodule.split(".")[1])
    # The decoder takes them from the last one on, one for each resnet.
    read = sum(len(block.resnets) for block in unet.up_blocks[: last + 1])
    names = []
    for number, block in enumerate(unet.down_blocks):
        for position in range(len(block.resnets) + (block.downsamplers is not None)):
            names.append(f"down_blocks.{number} {position}")
    unread = names[: max(0, len(names) - read)]
    return {name: state[:, :0] if name in unread else state for name, state in outputs.items()}
