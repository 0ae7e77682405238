"""Networks of true size, without weights."""

from __future__ import annotations

import torch


def true_unet():
    """The U-Net of Stable Diffusion 2-1, without memory."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=96,
            cross_attention_dim=1024,
            attention_head_dim=(5, 10, 20, 20),
            use_linear_projection=True,
        )
