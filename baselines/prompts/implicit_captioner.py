"""The implicit captioner: a prompt made from the image itself (ODISE, Xu et al., 2023; used by SD+DINO, Zhang et al., 2023)."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from baselines.networks.loading import DTYPES, loading_error_types, quiet
from baselines.networks.pixels import CLIP_MEAN, CLIP_STD, normalize_pixels
from baselines.sources import CAPTIONER, CLIP_IMAGE_ENCODER, STABLE_DIFFUSIONS
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.conditioning import EmptyTextPlus
from baselines.vit.card import VitCard
from harness.errors import NotApplicable, UserError
from harness.specs import ImageRequest, MakeContext

_ANCHOR = "clip_project.linear.weight"

_RENAMED = {
    "clip_project.linear.weight": "project.weight",
    "clip_project.linear.bias": "project.bias",
    "clip_project.positional_embedding": "position",
    "alpha_cond": "gate",
    "time_embed_project.linear.weight": "time_project.weight",
    "time_embed_project.linear.bias": "time_project.bias",
    "time_embed_project.positional_embedding": "time_position",
    "alpha_cond_time_embed": "time_gate",
}
"""Names in the published checkpoint -> ours."""


class ImplicitCaptioner(nn.Module):
    """Image embedding -> what is added to the empty text's states, and to the timestep's embedding.

    states = tanh(gate) (W e + b + position), and likewise for time. Both gates start at zero, i.e. at the
    empty prompt.

    Args:
        image_width: length of the image embedding e; 768 for CLIP ViT-L/14.
        text_width: D, width of the text encoder's states.
        time_width: width of the U-Net's timestep embedding.
    """

    def __init__(self, image_width: int, text_width: int, time_width: int, tokens: int = 77) -> None:
        super().__init__()
        self.project = nn.Linear(image_width, text_width)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, text_width))
        self.gate = nn.Parameter(torch.zeros(1, tokens, text_width))
        self.time_project = nn.Linear(image_width, time_width)
        self.time_position = nn.Parameter(0.02 * torch.randn(1, 1, time_width))
        self.time_gate = nn.Parameter(torch.zeros(time_width))

    def forward(self, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, image_width) -> (n, 77, D) and (n, time_width)."""
        states = torch.tanh(self.gate) * (self.project(embedding)[:, None] + self.position)
        time = torch.tanh(self.time_gate) * (self.time_project(embedding)[:, None] + self.time_position)[:, 0]
        return states, time

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> ImplicitCaptioner:
        """Takes the captioner's tensors, under the published names and whatever prefix, out of a larger state. Raises `KeyError`."""
        anchor = next((name for name in tensors if name.endswith(_ANCHOR)), None)
        if anchor is None:
            raise KeyError(_ANCHOR)
        prefix = anchor.removesuffix(_ANCHOR)
        found = {ours: tensors[prefix + theirs] for theirs, ours in _RENAMED.items()}
        text_width, image_width = found["project.weight"].shape
        captioner = cls(
            image_width, text_width, found["time_project.weight"].shape[0], found["position"].shape[-2]
        )
        shapes = captioner.state_dict()
        captioner.load_state_dict(
            {name: tensor.float().reshape(shapes[name].shape) for name, tensor in found.items()}
        )
        return captioner.eval().requires_grad_(False)

    def published(self) -> dict[str, torch.Tensor]:
        """Its tensors under the published names."""
        state = self.state_dict()
        return {theirs: state[ours].contiguous() for theirs, ours in _RENAMED.items()}


def load_captioner(path: Path) -> ImplicitCaptioner:
    """Reads a captioner from safetensors, or from a PyTorch checkpoint that holds one; nothing in the file is executed.

    Raises:
        UserError: the file is damaged, has no captioner in it, or holds more than tensors.
    """
    file = path / "captioner.safetensors" if path.is_dir() else path
    try:
        return ImplicitCaptioner.from_tensors(_tensors(file))
    except KeyError as error:
        raise UserError(f"{file}: has no implicit captioner in it (tensor {error} is missing)") from error
    except (OSError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, EOFError) as error:
        told = " ".join(str(error).split())[:160]
        raise UserError(f"{file}: cannot be read as tensors ({told}); get the file again") from error


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    found: dict[str, torch.Tensor] = {}
    _collect(torch.load(file, map_location="cpu", weights_only=True, mmap=True), "", found)
    return found


def _collect(node: Any, prefix: str, found: dict[str, torch.Tensor]) -> None:
    """Flattens nested dictionaries: checkpoints keep their weights under "model", "state_dict" and the like."""
    if isinstance(node, torch.Tensor):
        found[prefix] = node
    elif isinstance(node, dict):
        for name, inner in node.items():
            _collect(inner, f"{prefix}.{name}" if prefix else str(name), found)


class ImageEncoder:
    """The embedding that a captioner reads.

    CLIP's projected image embedding, not normalised, of a picture whose shorter side was resized to the
    network's size and whose centre was cut out (open_clip's preprocessing); of a DINO, the mean of its
    patches after the final norm, of the stretched picture.
    """

    def __init__(self, folder: Path, device: str, precision: str) -> None:
        import transformers

        self._device, self._dtype = device, DTYPES[precision]
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._clip = config["model_type"].startswith("clip")
            if self._clip:
                network: Any = transformers.CLIPVisionModelWithProjection
                size = config.get("vision_config", config).get("image_size", 224)
            else:
                network, size = transformers.AutoModel, config["image_size"]
                self._prefix = VitCard.of(folder).prefix
            self._size = int(size)
            with quiet():
                network = network.from_pretrained(
                    folder, dtype=self._dtype, local_files_only=True, use_safetensors=True
                )
        except loading_error_types() as error:
            told = " ".join(str(error).split())[:160]
            raise UserError(
                f"{folder}: no image encoder that transformers can read ({told}); get it again"
            ) from error
        self._network = network.eval().requires_grad_(False).to(device)

    def __call__(self, request: ImageRequest) -> torch.Tensor:
        """(image_width,) float32."""
        return self.embed(self._pixels(request)[None])[0]

    @torch.no_grad()
    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, side, side) normalised pixels -> (n, image_width) float32."""
        pixels = pixels.to(self._device, self._dtype)
        if self._clip:
            return self._network(pixels).image_embeds.float()  # type: ignore[no-any-return]
        tokens: torch.Tensor = self._network(pixels).last_hidden_state[:, self._prefix :]
        return tokens.float().mean(dim=1)

    def _pixels(self, request: ImageRequest) -> torch.Tensor:
        import numpy as np
        import PIL.Image

        image, side = request.image, self._size
        if self._clip:
            scale = side / min(image.size)
            image = image.resize(
                (round(image.width * scale), round(image.height * scale)), PIL.Image.Resampling.BICUBIC
            )
            left, top = round((image.width - side) / 2), round((image.height - side) / 2)
            image = image.crop((left, top, left + side, top + side))
        else:
            image = image.resize((side, side), PIL.Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)
        return normalize_pixels(pixels, CLIP_MEAN, CLIP_STD) if self._clip else normalize_pixels(pixels)


def make_prompt(context: MakeContext) -> CaptionedPrompt:
    """The prompt type's `make`. Raises `NotApplicable` where the backbone's text width is not the captioner's."""
    captioner = load_captioner(context.weights[CAPTIONER])
    backbone = next((context.weights[name] for name in STABLE_DIFFUSIONS if name in context.weights), None)
    if backbone is not None:
        width, own = Card.of(backbone).text_width, captioner.project.out_features
        if width != own:
            raise NotApplicable(
                f"the implicit captioner was trained for text states of width {own}, the backbone's have {width}"
            )
    return CaptionedPrompt(
        captioner.to(context.device),
        ImageEncoder(context.weights[CLIP_IMAGE_ENCODER], context.device, context.precision),
    )


class CaptionedPrompt:
    """Makes one image's prompt (a `Prompt` of scope `image`)."""

    def __init__(self, captioner: ImplicitCaptioner, encoder: ImageEncoder) -> None:
        self._captioner, self._encoder = captioner, encoder
        self._known: dict[str, torch.Tensor] = {}

    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> EmptyTextPlus:
        """What to add to the empty text for the image."""
        image = images[0]
        if image.identity not in self._known:
            self._known[image.identity] = self._encoder(image)
        states, time = self._captioner(self._known[image.identity][None])
        return EmptyTextPlus(states[0], time[0])
