"""Exports trained networks as the bundled weights: a diffusers pipeline, a DINOv2, a captioner.

All of them are saved in half precision.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from baselines.tiny.diffusion import make_scheduler


@click.command()
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default="tiny-training",
    help="Folder that `baselines.tiny.train` wrote to.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for stable-diffusion/, dino/ and captioner/.",
)
def main(work: Path, folder: Path) -> None:
    """Exports the networks that have been trained so far."""
    if (work / "unet" / "unet").is_dir():
        export_pipeline(work, folder / "stable-diffusion")
    if (work / "vit" / "config.json").is_file():
        export_dino(work, folder / "dino")
    if (work / "captioner" / "captioner.safetensors").is_file():
        export_captioner(work, folder / "captioner")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            click.echo(f"{path.stat().st_size:>10,}  {path.relative_to(folder)}")


def export_pipeline(work: Path, folder: Path) -> None:
    """Exports VAE, U-Net, text encoder, tokenizer and scheduler as `StableDiffusionPipeline` saves them."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    unet: Any = UNet2DConditionModel.from_pretrained(work / "unet" / "unet", low_cpu_mem_usage=False)
    vae: Any = AutoencoderKL.from_pretrained(work / "vae", low_cpu_mem_usage=False)
    text: Any = CLIPTextModel.from_pretrained(work / "text" / "text_encoder")
    pipeline: Any = StableDiffusionPipeline(
        vae=vae.to(torch.float16),
        unet=unet.to(torch.float16),
        text_encoder=text.to(torch.float16),
        tokenizer=CLIPTokenizer.from_pretrained(work / "unet" / "tokenizer"),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.save_pretrained(folder, safe_serialization=True)
    for path in folder.glob("*/config.json"):
        # The path of a part on this machine is private, and would change the weights' hash.
        config = json.loads(path.read_text(encoding="utf-8"))
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def export_dino(work: Path, folder: Path) -> None:
    """Exports the vision transformer as transformers saves it.

    Its processor makes squares of the size that it was trained on.
    """
    import torch
    from transformers import Dinov2Model

    from baselines.networks.pixels import IMAGENET_MEAN, IMAGENET_STD
    from baselines.tiny.vit import FED

    vit: Any = Dinov2Model.from_pretrained(work / "vit")
    shutil.rmtree(folder, ignore_errors=True)
    vit.to(torch.float16).save_pretrained(folder)
    processor = {
        "do_resize": True,
        "size": {"height": FED, "width": FED},
        "resample": 2,  # bilinear, in Pillow's numbering
        "do_center_crop": False,
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": IMAGENET_MEAN,
        "image_std": IMAGENET_STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")


def export_captioner(work: Path, folder: Path) -> None:
    """Exports the captioner's tensors under their published names."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tensors = load_file(work / "captioner" / "captioner.safetensors")
    for name, tensor in tensors.items():
        tensors[name] = tensor.to(torch.float16)
    save_file(tensors, folder / "captioner.safetensors")


if __name__ == "__main__":
    main()
