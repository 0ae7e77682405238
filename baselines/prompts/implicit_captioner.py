"""The implicit captioner: a prompt made from the image itself.

It comes from ODISE (Xu et al., 2023) and is used by SD+DINO (Zhang et al., 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from baselines.networks.loading import DTYPES, MESSAGE_LIMIT, load_transformer
from baselines.networks.pixels import CLIP_MEAN, CLIP_STD, normalize_pixels
from baselines.published import VISION_DEFAULTS
from baselines.sources import CAPTIONER, CLIP_IMAGE_ENCODER, STABLE_DIFFUSIONS
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.conditioning import EmptyTextPlus
from baselines.stated_values import check_values
from baselines.vit.backbone import load_vision_transformer
from baselines.vit.card import VitCard
from harness.errors import NotApplicable, UserError
from harness.messages import first_line
from harness.networks import check_finite, read_tensors
from harness.networks.configuration import read_configuration
from harness.specs import ImageRequest, MakeContext

_ANCHOR = "clip_project.linear.weight"
"""Published name of a tensor that every checkpoint with a captioner has."""

_NAMES = {
    "clip_project.linear.weight": "project.weight",
    "clip_project.linear.bias": "project.bias",
    "clip_project.positional_embedding": "position",
    "alpha_cond": "gate",
    "time_embed_project.linear.weight": "time_project.weight",
    "time_embed_project.linear.bias": "time_project.bias",
    "time_embed_project.positional_embedding": "time_position",
    "alpha_cond_time_embed": "time_gate",
}
"""Names in the published checkpoint -> names in `ImplicitCaptioner`."""


class ImplicitCaptioner(nn.Module):
    """Image embedding -> additions to the empty text's states and to the timestep's embedding.

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
        ungated_states = self.project(embedding)[:, None] + self.position
        # As published, time has an axis of one token, too.
        ungated_time = (self.time_project(embedding)[:, None] + self.time_position)[:, 0]
        states = torch.tanh(self.gate) * ungated_states
        time = torch.tanh(self.time_gate) * ungated_time
        return states, time

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> ImplicitCaptioner:
        """Finds the captioner in a larger state, by its tensors' published names under any common prefix.

        Raises:
            KeyError: a tensor is missing.
        """
        anchors = [name for name in tensors if name.endswith(_ANCHOR)]
        if not anchors:
            raise KeyError(_ANCHOR)
        prefix = anchors[0].removesuffix(_ANCHOR)
        state = {}
        for published_name, name in _NAMES.items():
            state[name] = tensors[prefix + published_name]
        text_width, image_width = state["project.weight"].shape
        time_width = state["time_project.weight"].shape[0]
        tokens = state["position"].shape[-2]
        captioner = cls(image_width, text_width, time_width, tokens)
        # Files may be in half precision, and have other axes of length 1.
        for name, initial in captioner.state_dict().items():
            state[name] = state[name].float().reshape(initial.shape)
        captioner.load_state_dict(state)
        return captioner.eval().requires_grad_(False)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The captioner's tensors under their published names."""
        state = self.state_dict()
        return {published_name: state[name].contiguous() for published_name, name in _NAMES.items()}


def load_captioner(path: Path) -> ImplicitCaptioner:
    """Reads a captioner from safetensors or from a PyTorch checkpoint that holds one.

    Nothing in the file is executed.

    Raises:
        UserError: the file is damaged, holds more than tensors, or does not hold a captioner.
    """
    file = path / "captioner.safetensors" if path.is_dir() else path
    try:
        captioner = ImplicitCaptioner.from_tensors(read_tensors(file))
    except KeyError as error:
        raise UserError(f"{file}: has no implicit captioner in it (tensor {error} is missing)") from error
    except (RuntimeError, ValueError, IndexError) as error:
        reason = first_line(error, MESSAGE_LIMIT)
        raise UserError(
            f"{file}: the tensors of its captioner do not fit together ({reason}); get the file again"
        ) from error
    check_finite(captioner, str(file))
    return captioner


_TEXT_HALF = ("text_model.*", "text_projection.*", "logit_scale")
"""Tensors of a whole CLIP beside those of its image encoder."""


def _square_side(path: Path, value: Any) -> int:
    """A side in pixels. Raises `UserError` for anything else."""
    if not isinstance(value, int) or not 1 <= value <= 10_000:
        raise UserError(f"{path}: image_size is {value!r:.60}, not a side in pixels; get it again")
    return value


class ImageEncoder:
    """Image -> the embedding that a captioner reads.

    CLIP's projected image embedding, not normalised, of a picture whose shorter side was resized to the
    network's size and whose centre was cut out (open_clip's preprocessing); of a DINO, the mean of its
    patches after the final norm, of the stretched picture.
    """

    def __init__(self, folder: Path, device: str, precision: str) -> None:
        self._device, self._dtype = device, DTYPES[precision]
        path = folder / "config.json"
        config = read_configuration(path)
        self._clip = str(config.get("model_type")).startswith("clip")
        if self._clip:
            import transformers

            # A whole CLIP nests its vision half; files leave out what equals transformers' default.
            vision_config = config.get("vision_config", config)
            check_values(path, vision_config, VISION_DEFAULTS["clip_vision_model"])
            self._size = _square_side(path, vision_config.get("image_size", 224))
            network = load_transformer(
                transformers.CLIPVisionModelWithProjection, folder, self._dtype, _TEXT_HALF
            )
        else:
            card = VitCard.of(folder)
            self._size, self._prefix = card.native, card.prefix
            network = load_vision_transformer(folder, card, self._dtype)
        self._network = network.requires_grad_(False).to(device)

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
        """(3, side, side) normalised pixels of an image."""
        import numpy as np
        import PIL.Image

        image, side = request.image, self._size
        if self._clip:
            scale = side / min(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            image = image.resize(size, PIL.Image.Resampling.BICUBIC)
            left = round((image.width - side) / 2)
            top = round((image.height - side) / 2)
            image = image.crop((left, top, left + side, top + side))
        else:
            image = image.resize((side, side), PIL.Image.Resampling.BILINEAR)
        values = np.asarray(image, dtype=np.float32) / 255
        pixels = torch.from_numpy(values).permute(2, 0, 1)
        if self._clip:
            return normalize_pixels(pixels, CLIP_MEAN, CLIP_STD)
        return normalize_pixels(pixels)


def make_prompt(context: MakeContext) -> CaptionedPrompt:
    """Makes the prompts. Raises `NotApplicable` if the backbone's text width differs from the captioner's."""
    captioner = load_captioner(context.weights[CAPTIONER])
    backbones = [context.weights[name] for name in STABLE_DIFFUSIONS if name in context.weights]
    # A backbone of a plugin's own has no card that this module could read.
    if backbones:
        width = Card.of(backbones[0]).text_width
        trained_width = captioner.project.out_features
        if width != trained_width:
            raise NotApplicable(
                f"the implicit captioner was trained for text states of width {trained_width}, "
                f"the backbone's have {width}"
            )
    return CaptionedPrompt(
        captioner.to(context.device),
        ImageEncoder(context.weights[CLIP_IMAGE_ENCODER], context.device, context.precision),
    )


class CaptionedPrompt:
    """Makes one image's prompt (a `Prompt` of scope `image`)."""

    def __init__(self, captioner: ImplicitCaptioner, encoder: ImageEncoder) -> None:
        self._captioner, self._encoder = captioner, encoder
        self._embeddings: dict[str, torch.Tensor] = {}

    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> EmptyTextPlus:
        """The addition to the empty text for the image."""
        image = images[0]
        if image.identity not in self._embeddings:
            self._embeddings[image.identity] = self._encoder(image)
        states, time = self._captioner(self._embeddings[image.identity][None])
        return EmptyTextPlus(states[0], time[0])
