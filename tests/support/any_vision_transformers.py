"""Small random vision transformers of many families, saved by transformers, and their own forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from baselines.networks.loading import quiet

WIDTH, LAYERS, NATIVE, PATCH = 24, 3, 32, 8

SIZES = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "image_size": NATIVE,
    "patch_size": PATCH,
}
_MLP = {"intermediate_size": 48}
_TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 10,
}
_FLEXIBLE = {key: value for key, value in SIZES.items() if key != "image_size"} | {"num_patches": 16}

NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "vit": ("ViTModel", "ViTConfig", {**SIZES, **_MLP}),
    "deit": ("DeiTModel", "DeiTConfig", {**SIZES, **_MLP}),
    "dinov2": ("Dinov2Model", "Dinov2Config", SIZES),
    "dinov2-registers": (
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        {**SIZES, "num_register_tokens": 3},
    ),
    "dinov3": ("DINOv3ViTModel", "DINOv3ViTConfig", {**SIZES, **_MLP, "num_register_tokens": 2}),
    "clip": ("CLIPVisionModel", "CLIPVisionConfig", {**SIZES, **_MLP}),
    "whole-clip": (
        "CLIPModel",
        "CLIPConfig",
        {"vision_config": {**SIZES, **_MLP}, "text_config": _TEXT, "projection_dim": 8},
    ),
    "siglip": ("SiglipVisionModel", "SiglipVisionConfig", {**SIZES, **_MLP}),
    "whole-siglip": (
        "SiglipModel",
        "SiglipConfig",
        {"vision_config": {**SIZES, **_MLP}, "text_config": {**_TEXT, "projection_size": WIDTH}},
    ),
    "siglip2": ("Siglip2VisionModel", "Siglip2VisionConfig", {**_FLEXIBLE, **_MLP}),
    "mae": ("ViTMAEModel", "ViTMAEConfig", {**SIZES, **_MLP}),
    "mae-training": (
        "ViTMAEForPreTraining",
        "ViTMAEConfig",
        {
            **SIZES,
            **_MLP,
            "decoder_hidden_size": 16,
            "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 2,
            "decoder_intermediate_size": 16,
        },
    ),
    "msn": ("ViTMSNModel", "ViTMSNConfig", {**SIZES, **_MLP}),
    "ijepa": ("IJepaModel", "IJepaConfig", {**SIZES, **_MLP}),
    "sam": (
        "SamVisionModel",
        "SamVisionConfig",
        {**SIZES, "mlp_dim": 48, "output_channels": 8, "window_size": 3, "global_attn_indexes": [1]},
    ),
    "beit": ("BeitModel", "BeitConfig", {**SIZES, **_MLP, "use_relative_position_bias": True}),
    "data2vec": ("Data2VecVisionModel", "Data2VecVisionConfig", {**SIZES, **_MLP}),
    # No card: the generic way.
    "aimv2": ("Aimv2VisionModel", "Aimv2VisionConfig", {**SIZES, **_MLP}),
}
"""Name -> class, class of the configuration, its values."""

PREFIX = {"deit": 2, "dinov2-registers": 4, "dinov3": 3} | dict.fromkeys(
    ("siglip", "whole-siglip", "siglip2", "ijepa", "sam", "aimv2"), 0
)
"""Special tokens before the patches, counted by hand; 1 where it is not said."""


def make_network(kind: str) -> Any:
    """A random network; noise on top of it lets positions, norms and scales all matter."""
    torch.manual_seed(0)
    network, config, values = NETWORKS[kind]
    model = getattr(transformers, network)(getattr(transformers, config)(**values))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def save_any(folder: Path, kind: str) -> Any:
    """Saves a random network to a folder, and returns it."""
    model = make_network(kind)
    with quiet():
        model.save_pretrained(folder)
    return model


def own_states(model: Any, kind: str, pixels: torch.Tensor) -> list[torch.Tensor]:
    """What each block gives in the network's own forward pass, as (n, C, h, w) without special tokens.

    Args:
        pixels: (n, 3, H, W), normalised.
    """
    tower = model
    for part in ("vision_model", "vit"):
        tower = getattr(tower, part, tower)
    rows, columns = (side // PATCH for side in pixels.shape[-2:])
    inputs: dict[str, Any] = {"pixel_values": pixels}
    if kind == "siglip2":
        # As transformers' image processor lays them out.
        cut = pixels.reshape(len(pixels), 3, rows, PATCH, columns, PATCH).permute(0, 2, 4, 3, 5, 1)
        inputs = {
            "pixel_values": cut.reshape(len(pixels), rows * columns, -1),
            "pixel_attention_mask": torch.ones(len(pixels), rows * columns),
            "spatial_shapes": torch.tensor([[rows, columns]] * len(pixels)),
        }
    elif kind not in ("dinov2", "dinov2-registers", "dinov3", "sam", "aimv2"):
        inputs["interpolate_pos_encoding"] = True
    if kind.startswith("mae"):
        tower.config.mask_ratio = 0.0
        inputs["noise"] = torch.arange(rows * columns).expand(len(pixels), -1)
    with torch.no_grad():
        states = tower(**inputs, output_hidden_states=True).hidden_states
    if kind == "sam":
        return [state.permute(0, 3, 1, 2) for state in states[1:]]
    maps = []
    for state in states[1:]:
        patches = state[:, PREFIX.get(kind, 1) :]
        maps.append(patches.transpose(1, 2).reshape(len(pixels), -1, rows, columns))
    return maps
