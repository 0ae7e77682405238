"""Small random vision transformers of every DINO architecture, and damage to their folders."""

from __future__ import annotations

import json

import torch
import transformers

from baselines.networks.loading import quiet

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 48,
    "patch_size": 8,
}

NETWORKS = {
    "v1": (transformers.ViTModel, transformers.ViTConfig(**SIZES, intermediate_size=48)),
    "v2": (transformers.Dinov2Model, transformers.Dinov2Config(**SIZES)),
    "v2-registers": (
        transformers.Dinov2WithRegistersModel,
        transformers.Dinov2WithRegistersConfig(**SIZES, num_register_tokens=3),
    ),
    "v3": (
        transformers.DINOv3ViTModel,
        transformers.DINOv3ViTConfig(**SIZES, intermediate_size=48, num_register_tokens=2),
    ),
}


def save_network(folder, kind, scale=0.3, only="", **changes):
    """Saves a random network; noise on top of it lets positions, norms and scales all matter."""
    torch.manual_seed(0)
    network, config = NETWORKS[kind]
    model = network(config.__class__(**{**config.to_dict(), **changes}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if only in name:
                parameter.add_(scale * torch.randn(parameter.shape))
    with quiet():
        model.save_pretrained(folder)
    return folder


def rewrite_config(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def drop_tensors(folder, ending):
    """Removes the tensors with names of that ending."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    remaining = {name: tensor for name, tensor in tensors.items() if not name.endswith(ending)}
    assert len(remaining) < len(tensors)
    save_file(remaining, folder / "model.safetensors", {"format": "pt"})
