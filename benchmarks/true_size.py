"""Writes networks of true shape with random weights, and a conditional prompting module that fits them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from baselines.stable_diffusion.card import Card
from sd4match_plugin.prompts import files
from sd4match_plugin.prompts.cpm import ConditionalPrompting, CpmConfig
from sd4match_plugin.prompts.image_patches import token_shape


def write_networks(configs: Path, folder: Path) -> tuple[tuple[str, ...], Path]:
    """Values of `--weights`, and the file of a prompt for `sd4match-cpm`.

    Args:
        configs: a Stable Diffusion pipeline without weights.
        folder: where the networks are written, 3 GB for Stable Diffusion 2-1.
    """
    from transformers import Dinov2Config, Dinov2Model

    diffusion = folder / "stable-diffusion"
    dino = folder / "dino"
    prompt = folder / "cpm.safetensors"
    # In a process of its own, since it changes the default precision.
    program = Path(__file__).parent / "random_pipeline.py"
    subprocess.run([sys.executable, str(program), str(configs), str(diffusion)], check=True)
    torch.manual_seed(0)
    # DINOv2 ViT-B/14, which the published module looks through.
    Dinov2Model(Dinov2Config(image_size=518, patch_size=14)).save_pretrained(dino)
    width, patches = token_shape(dino)
    config = CpmConfig(image_width=width, patches=patches, text_width=Card.of(diffusion).text_width)
    module = ConditionalPrompting(config, torch.Generator().manual_seed(0))
    files.write(
        prompt,
        files.PromptFile("cpm", config=config, state=module.state_dict(), metadata={"dataset": "none"}),
    )
    return (f"stable-diffusion-2-1={diffusion}", f"dinov2-base={dino}"), prompt
