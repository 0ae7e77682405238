"""Configurations of the published networks, compared with a folder's where features depend on them.

A folder's files may leave out what equals the libraries' defaults, and state all of it when saved anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines import sources, token_ids
from baselines.tokens import SPECIAL, read_tokens
from harness.errors import UserError
from harness.networks.json_files import read_object


def _sizes(width: int, layers: int, heads: int, *, patch: int, image: int) -> dict[str, Any]:
    """Sizes of a vision transformer, as transformers calls them."""
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "patch_size": patch,
        "image_size": image,
    }


Values = Mapping[str, Mapping[str, Any]]
"""JSON file -> key -> value."""

DEFAULTS: Values = {
    "unet/config.json": {
        "_class_name": "UNet2DConditionModel",
        "sample_size": None,
        "in_channels": 4,
        "out_channels": 4,
        "center_input_sample": False,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "down_block_types": (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
        "only_cross_attention": False,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "act_fn": "silu",
        "norm_num_groups": 32,
        "norm_eps": 1e-5,
        "cross_attention_dim": 1280,
        "transformer_layers_per_block": 1,
        "reverse_transformer_layers_per_block": None,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "attention_head_dim": 8,
        "num_attention_heads": None,
        "dual_cross_attention": False,
        "use_linear_projection": False,
        "class_embed_type": None,
        "addition_embed_type": None,
        "num_class_embeds": None,
        "upcast_attention": False,
        "resnet_time_scale_shift": "default",
        "resnet_skip_time_act": False,
        "resnet_out_scale_factor": 1.0,
        "time_embedding_type": "positional",
        "time_embedding_dim": None,
        "time_embedding_act_fn": None,
        "timestep_post_act": None,
        "time_cond_proj_dim": None,
        "conv_in_kernel": 3,
        "attention_type": "default",
        "mid_block_only_cross_attention": None,
        "cross_attention_norm": None,
    },
    "vae/config.json": {
        "_class_name": "AutoencoderKL",
        "in_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",),
        "block_out_channels": (64,),
        "layers_per_block": 1,
        "act_fn": "silu",
        "latent_channels": 4,
        "norm_num_groups": 32,
        "scaling_factor": 0.18215,
        "shift_factor": None,
        "latents_mean": None,
        "latents_std": None,
        "use_quant_conv": True,
        "mid_block_add_attention": True,
    },
    "scheduler/scheduler_config.json": {
        "num_train_timesteps": 1000,
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "trained_betas": None,
        "prediction_type": "epsilon",
        "rescale_betas_zero_snr": False,
    },
    "text_encoder/config.json": {
        "model_type": "clip_text_model",
        "vocab_size": 49408,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    },
}
"""What diffusers and transformers take where a file leaves a key out.

Keys that features do not depend on are left out, such as dropout and those of the VAE's decoder.
"""

_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
}

_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

_TOKENS: Mapping[str, Any] = {
    "bos_token": ("<|startoftext|>", 49406),
    "eos_token": ("<|endoftext|>", 49407),
    "unk_token": ("<|endoftext|>", 49407),
    "pad_token": ("<|endoftext|>", 49407),
    "model_max_length": 77,
    "vocabulary": "CLIP",
}

CLIP_VOCABULARY = "1409d1bfc9edcb7ebb15044870c857bf45e1ca6b36a062b503ce2ca5bae95ad4"
"""`Tokens.digest` of CLIP's vocabulary and merges."""

_WORDS = (320, 1125, 539, 320, 2368)
"""CLIP's ids of "a photo of a cat"."""

CLIP_IDS: Mapping[str, Sequence[int]] = dict(
    zip(
        token_ids.TEXTS,
        (
            (),
            _WORDS,
            _WORDS,
            (1097, 35689, 563, 15304, 267, 272, 273, 16165, 274, 3989),
            (*_WORDS, *[2368] * 70),
        ),
        strict=True,
    )
)
"""Text -> CLIP's ids between the begin and the end token, cut to 77 with these."""

STABLE_DIFFUSION_2_1: Values = {
    "unet/config.json": {
        "sample_size": 96,
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "vae/config.json": _VAE,
    "scheduler/scheduler_config.json": {**_SCHEDULE, "prediction_type": "v_prediction"},
    "text_encoder/config.json": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
    },
    "tokenizer": {**_TOKENS, "pad_token": ("!", 0)},
}

STABLE_DIFFUSION_1_5: Values = {
    "unet/config.json": {"sample_size": 64, "cross_attention_dim": 768},
    "vae/config.json": _VAE,
    "scheduler/scheduler_config.json": _SCHEDULE,
    "text_encoder/config.json": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
    },
    "tokenizer": _TOKENS,
}


_VIT = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": True}

_DINOV2 = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "mlp_ratio": 4,
    "use_swiglu_ffn": False,
}

_DINOV3 = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "rope_theta": 100.0,
    "query_bias": True,
    "key_bias": False,
    "value_bias": True,
    "proj_bias": True,
    "mlp_bias": True,
    "use_gated_mlp": False,
    "num_register_tokens": 0,
}

_CLIP = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}

_PROCESSOR_DEFAULTS = {
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "resample": 3,
}

VISION_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "vit": {**_sizes(768, 12, 12, patch=16, image=224), **_VIT, "intermediate_size": 3072},
    "dinov2": {**_sizes(768, 12, 12, patch=14, image=224), **_DINOV2},
    "dinov2_with_registers": {
        **_sizes(768, 12, 12, patch=16, image=224),
        **_DINOV2,
        "num_register_tokens": 4,
    },
    "dinov3_vit": {**_sizes(384, 12, 6, patch=16, image=224), **_DINOV3, "intermediate_size": 1536},
    "clip_vision_model": {**_sizes(768, 12, 12, patch=32, image=224), **_CLIP, "intermediate_size": 3072},
}
"""`model_type` -> what transformers takes where a file leaves a key out that features depend on."""

VISION_TRANSFORMERS: Mapping[str, Mapping[str, Any]] = {
    sources.DINOV1: {
        "model_type": "vit",
        **_sizes(384, 12, 6, patch=8, image=224),
        **_VIT,
        "intermediate_size": 1536,
    },
    sources.DINOV2: {"model_type": "dinov2", **_sizes(768, 12, 12, patch=14, image=518), **_DINOV2},
    sources.DINOV2_LARGE_REGISTERS: {
        "model_type": "dinov2_with_registers",
        **_sizes(1024, 24, 16, patch=14, image=518),
        **_DINOV2,
        "num_register_tokens": 4,
    },
    sources.DINOV3: {
        "model_type": "dinov3_vit",
        **_sizes(768, 12, 12, patch=16, image=224),
        **_DINOV3,
        "intermediate_size": 3072,
        "num_register_tokens": 4,
    },
    sources.CLIP_IMAGE_ENCODER: {
        **_sizes(1024, 24, 16, patch=14, image=336),
        **_CLIP,
        "intermediate_size": 4096,
    },
}
"""Source -> key -> value of its `config.json`; of a whole CLIP, of the vision half in it."""

PREPROCESSING: Mapping[str, Mapping[str, Any]] = {
    sources.DINOV2: {
        "do_resize": True,
        "size": {"shortest_edge": 256},
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": (0.485, 0.456, 0.406),
        "image_std": (0.229, 0.224, 0.225),
        "resample": 3,
    }
}
"""Source -> key -> value of its `preprocessor_config.json`, of those whose pictures are prepared by it."""


def comparison_of_transformer(source: str) -> Callable[[Path], list[str]]:
    """Makes the function that compares a vision transformer's configuration with its source's."""
    published = VISION_TRANSFORMERS[source]
    defaults = VISION_DEFAULTS[published.get("model_type", "clip_vision_model")]

    def differences(folder: Path) -> list[str]:
        config = read_object(folder / "config.json")
        half = config.get("vision_config")
        lines = _differences(
            "config.json", half if isinstance(half, Mapping) else config, published, defaults
        )
        processor = folder / "preprocessor_config.json"
        # Without the file, pictures are prepared as it says.
        if source in PREPROCESSING and processor.is_file():
            wanted = PREPROCESSING[source]
            lines += _differences(processor.name, read_object(processor), wanted, _PROCESSOR_DEFAULTS)
        return lines

    return differences


def comparison(published: Values) -> Callable[[Path], list[str]]:
    """Makes the function that compares a folder's configuration: see `WeightSource.differences`."""

    def differences(folder: Path) -> list[str]:
        lines: list[str] = []
        for file, defaults in DEFAULTS.items():
            lines += _differences(file, read_object(folder / file), {**defaults, **published[file]}, defaults)
        try:
            tokens = _token_values(folder / "tokenizer")
        except UserError as error:
            return [*lines, str(error)]
        lines += _differences("tokenizer", tokens, published["tokenizer"], {})
        # Where ids of special tokens or the vocabulary differ, those of texts do so, too.
        return lines or _differences_of_ids(folder / "tokenizer", published["tokenizer"])

    return differences


def _differences_of_ids(folder: Path, published: Mapping[str, Any]) -> list[str]:
    """A line for the first text that a tokenizer makes other ids of than the published one."""
    try:
        actual = token_ids.read_ids(folder)
    except UserError as error:
        return [str(error)]
    begin, end, padding = (published[name][1] for name in ("bos_token", "eos_token", "pad_token"))
    for text, words in CLIP_IDS.items():
        wanted = [begin, *words, end]
        wanted += [padding] * (published["model_max_length"] - len(wanted))
        if list(actual[text]) != wanted:
            ids, right = token_ids.shortened(actual[text]), token_ids.shortened(wanted)
            return [f"tokenizer: '{text[:24]}' becomes {ids}, published {right}"]
    return []


def _differences(
    file: str, actual: Mapping[str, Any], published: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[str]:
    lines = []
    for key, expected in published.items():
        value = actual.get(key, defaults.get(key))
        if _simplify(value) != _simplify(expected):
            lines.append(f"{file}: {key} is {_text(value)}, published {_text(expected)}")
    return lines


def _token_values(folder: Path) -> dict[str, Any]:
    tokens = read_tokens(folder)
    values: dict[str, Any] = {name: tokens.special[name] for name in SPECIAL}
    is_clip = tokens.digest() == CLIP_VOCABULARY
    return {**values, "model_max_length": tokens.length, "vocabulary": "CLIP" if is_clip else "another"}


def _simplify(value: Any) -> Any:
    """One value for what the libraries take alike: a number, and a list that repeats it for every block."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        values = [_simplify(item) for item in value]
        return values[0] if values and all(item == values[0] for item in values) else values
    return value


def _text(value: Any) -> str:
    """A value in a message, cut where a file holds something absurd."""
    if isinstance(value, tuple | list):
        return f"{', '.join(map(_text, value))}"[:120]
    return str(value)[:60]
