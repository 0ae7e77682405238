"""What a U-Net has to be given, as its configuration says, compared with what features give it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baselines import published
from baselines.stated_values import check_stated, check_values
from harness.errors import UserError
from harness.networks.json_files import read_object

EXPECTED = "a Stable Diffusion is a folder as diffusers saves it"

LATENT_CHANNELS = 4

_CONDITIONS = {
    "addition_embed_type": "sizes and a second text (SDXL)",
    "class_embed_type": "an embedding or a label of the image (unCLIP, upscalers)",
    "num_class_embeds": "a label of the image (upscalers, depth)",
    "encoder_hid_dim_type": "an embedding of an image (Kandinsky, IP-Adapter)",
}
"""Key of the U-Net's configuration -> what the network reads in addition, where the key is set."""

_FAMILIES = {1024: published.STABLE_DIFFUSION_2_1, 768: published.STABLE_DIFFUSION_1_5}
"""Width of the states that cross-attention reads -> the published networks of that width."""

_STATED = {
    "unet/config.json": (
        "act_fn",
        "block_out_channels",
        "center_input_sample",
        "cross_attention_dim",
        "down_block_types",
        "downsample_padding",
        "flip_sin_to_cos",
        "freq_shift",
        "in_channels",
        "layers_per_block",
        "mid_block_scale_factor",
        "norm_eps",
        "norm_num_groups",
        "sample_size",
        "up_block_types",
    ),
    "vae/config.json": (
        "act_fn",
        "block_out_channels",
        "down_block_types",
        "latent_channels",
        "layers_per_block",
        "norm_num_groups",
        "scaling_factor",
    ),
    "scheduler/scheduler_config.json": ("prediction_type",),
    "text_encoder/config.json": (
        "hidden_act",
        "intermediate_size",
        "layer_norm_eps",
        "max_position_embeddings",
        "vocab_size",
    ),
}
"""File -> keys that the libraries choose a value for by themselves, and that no tensor's shape would betray.

Those that came later, such as `resnet_skip_time_act`, every older file leaves out.
"""


def check_configurations(folder: Path, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks the values of a pipeline's files, and that they state what features depend on.

    The published files leave some keys out. So may others where the libraries' choice is the value of the
    published network of the same width.

    Args:
        parts: file -> its content.

    Raises:
        UserError: a key is missing, or its value of the wrong kind. Names file and key.
    """
    width = parts["unet/config.json"].get("cross_attention_dim")
    family = _FAMILIES.get(width) if isinstance(width, int) else None
    for file, config in parts.items():
        defaults = published.DEFAULTS[file]
        check_values(folder / file, config, defaults)
        known = {**defaults, **family[file]} if family else {}
        # Another network's VAE may lie beside a published U-Net.
        channels = config.get("block_out_channels", defaults.get("block_out_channels", ()))
        if list(channels) != list(known.get("block_out_channels", ())):
            known = {}
        left_out = [key for key in _STATED[file] if not known or known[key] != defaults[key]]
        check_stated(folder / file, config, left_out)


def check_inputs(
    folder: Path, unet: Mapping[str, Any], vae: Mapping[str, Any], scheduler: Mapping[str, Any]
) -> None:
    """Checks that a pipeline's U-Net reads four latents, a timestep and the states of one text encoder.

    Raises:
        UserError: it is another network, or its parts do not fit together.
    """
    file = folder / "unet" / "config.json"
    kind = unet.get("_class_name", "UNet2DConditionModel")
    if kind != "UNet2DConditionModel":
        raise UserError(f"{file}: is a {kind!s:.60}, not the U-Net of a Stable Diffusion; {EXPECTED}")
    for key, what in _CONDITIONS.items():
        if unet.get(key) is not None:
            raise UserError(
                f"{file}: {key} is {unet[key]!r:.60}: this network reads {what}, "
                "which features do not give it; use Stable Diffusion 1 or 2"
            )
    if unet.get("num_attention_heads") is None:
        check_stated(file, unet, ("attention_head_dim",))
    channels = unet.get("in_channels", LATENT_CHANNELS)
    if channels != LATENT_CHANNELS:
        raise UserError(
            f"{file}: in_channels is {channels!r:.60}: this network reads more than the {LATENT_CHANNELS} "
            "channels of the latents (inpainting, depth, editing), which features do not give it; "
            "use Stable Diffusion 1 or 2"
        )
    if vae.get("latent_channels", LATENT_CHANNELS) != LATENT_CHANNELS or vae.get("in_channels", 3) != 3:
        raise UserError(
            f"{folder / 'vae' / 'config.json'}: not a VAE from pictures of 3 channels to latents of "
            f"{LATENT_CHANNELS}; {EXPECTED}"
        )
    check_configurations(
        folder,
        {"unet/config.json": unet, "vae/config.json": vae, "scheduler/scheduler_config.json": scheduler},
    )
    _check_schedule(folder / "scheduler" / "scheduler_config.json", scheduler)
    _check_text_encoder(folder, unet)


def _check_schedule(path: Path, scheduler: Mapping[str, Any]) -> None:
    if str(scheduler.get("_class_name")).startswith("FlowMatch"):
        raise UserError(
            f"{path}: is a schedule of flow matching, which has no noise of a timestep; "
            "use Stable Diffusion 1 or 2"
        )
    check_stated(path, scheduler, ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"))
    steps = scheduler["num_train_timesteps"]
    if not isinstance(steps, int) or not 1 <= steps <= 10_000:
        raise UserError(
            f"{path}: num_train_timesteps is {steps!r:.60}, not a number of timesteps; {EXPECTED}"
        )
    for key in ("beta_start", "beta_end"):
        beta = scheduler[key]
        if not isinstance(beta, int | float) or not 0 < beta < 1:
            raise UserError(f"{path}: {key} is {beta!r:.60}, not a share of noise from 0 to 1; {EXPECTED}")


def _check_text_encoder(folder: Path, unet: Mapping[str, Any]) -> None:
    path = folder / "text_encoder" / "config.json"
    encoder = read_object(path, EXPECTED)
    kind = encoder.get("model_type", "clip_text_model")
    if kind not in ("clip_text_model", "clip"):
        raise UserError(f"{path}: is a {kind!s:.60}, not the text encoder of a CLIP; {EXPECTED}")
    text = encoder.get("text_config", encoder) if kind == "clip" else encoder
    if kind != "clip":  # a whole CLIP leaves out what equals the library's choice
        check_stated(path, text, ("hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act"))
        check_configurations(folder, {"unet/config.json": unet, "text_encoder/config.json": text})
    else:
        check_values(path, text, published.DEFAULTS["text_encoder/config.json"])
    width, read = text.get("hidden_size", 512), unet.get("cross_attention_dim", 1280)
    if isinstance(read, int) and width != read:
        raise UserError(
            f"{folder}: its text encoder's states have the width {width!r:.60}, its U-Net reads {read}; "
            "copy both from one Stable Diffusion"
        )
