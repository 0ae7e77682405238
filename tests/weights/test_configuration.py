"""Weights are the published ones where their files and the values that decide features are."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import shutil
from pathlib import Path

import pytest

import baselines.weights
from baselines import published
from baselines.sources import CLIP_IMAGE_ENCODER, DINOV1, DINOV2, DINOV3
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.text_encoder import TextEncoder
from baselines.token_ids import read_ids
from baselines.tokens import read_tokens
from baselines.vit.card import VitCard
from baselines.weights import BUNDLED
from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.weights.choice import WeightChoice, resolve_weights

SD = "stable-diffusion-2-1"

PIPELINE = BUNDLED / "stable-diffusion"

PARTS = tuple(baselines.weights.STABLE_DIFFUSION_2_1_SOURCE.sha256)


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def rewrite(path: Path, **changes) -> None:
    write_json(path, {**json.loads(path.read_text()), **changes})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The published configuration of Stable Diffusion 2-1, with small files for weights whose hashes are
    declared the published ones, and a small vocabulary that is declared CLIP's.
    """
    folder = tmp_path / "sd"
    for file, defaults in published.DEFAULTS.items():
        write_json(folder / file, {**defaults, **published.STABLE_DIFFUSION_2_1[file]})
    model = json.loads((PIPELINE / "tokenizer" / "tokenizer.json").read_text())["model"]
    ids = {**model["vocab"], "!": 0, "a": 49405, "<|startoftext|>": 49406, "<|endoftext|>": 49407}
    write_json(folder / "tokenizer" / "vocab.json", ids)
    merges = "\n".join(map(" ".join, model["merges"]))
    (folder / "tokenizer" / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    write_json(
        folder / "tokenizer" / "tokenizer_config.json", {"model_max_length": 77, "pad_token": "<|endoftext|>"}
    )
    write_json(folder / "tokenizer" / "special_tokens_map.json", {"pad_token": "!"})
    monkeypatch.setattr(published, "CLIP_VOCABULARY", read_tokens(folder / "tokenizer").digest())
    rows = read_ids(folder / "tokenizer")
    words = {text: row[1 : row.index(49407)] for text, row in rows.items()}
    monkeypatch.setattr(published, "CLIP_IDS", words)
    hashes = {}
    for name in PARTS:
        (folder / name).write_bytes(name.encode())
        hashes[name] = hashlib.sha256(name.encode()).hexdigest()
    source = dataclasses.replace(baselines.weights.STABLE_DIFFUSION_2_1_SOURCE, sha256=hashes)
    others = [other for other in baselines.weights.SOURCES if other.name != SD]
    monkeypatch.setattr(baselines.weights, "SOURCES", [source, *others])
    return folder


def label(folder: Path) -> str:
    choice = WeightChoice("paper", {SD: folder})
    weights = resolve_weights(load_plugins(), choice, [SD])[SD]
    return weights.label(weights.hashes())


def test_published_files_and_configuration_have_the_published_name(bench, folder):
    assert label(folder) == SD
    outcome = bench("weights", "verify", f"{SD}={folder}")
    assert outcome.status == 0
    assert outcome.out.startswith(f"{SD}: ok (3 as published")


CHANGES = [
    ("unet/config.json", {"attention_head_dim": 8}, "attention_head_dim is 8, published 5, 10, 20, 20"),
    ("unet/config.json", {"use_linear_projection": False}, "use_linear_projection is False, published True"),
    ("unet/config.json", {"norm_eps": 1e-6}, "norm_eps is 1e-06, published 1e-05"),
    ("unet/config.json", {"act_fn": "gelu"}, "act_fn is gelu, published silu"),
    ("vae/config.json", {"scaling_factor": 0.13025}, "scaling_factor is 0.13025, published 0.18215"),
    ("scheduler/scheduler_config.json", {"beta_end": 0.02}, "beta_end is 0.02, published 0.012"),
    (
        "scheduler/scheduler_config.json",
        {"beta_schedule": "linear"},
        "beta_schedule is linear, published scaled",
    ),
    (
        "scheduler/scheduler_config.json",
        {"num_train_timesteps": 500},
        "num_train_timesteps is 500, published 1000",
    ),
    ("text_encoder/config.json", {"hidden_act": "quick_gelu"}, "hidden_act is quick_gelu, published gelu"),
    ("text_encoder/config.json", {"num_attention_heads": 8}, "num_attention_heads is 8, published 16"),
    ("tokenizer/tokenizer_config.json", {"model_max_length": 64}, "model_max_length is 64, published 77"),
    (
        "tokenizer/tokenizer_config.json",
        {"eos_token": "!"},
        "eos_token is !, 0, published <|endoftext|>, 49407",
    ),
    ("tokenizer/special_tokens_map.json", {"pad_token": "a"}, "pad_token is a, 49405, published !, 0"),
    ("tokenizer/vocab.json", {"b": 7}, "vocabulary is another, published CLIP"),
]


@pytest.mark.parametrize(("file", "change", "told"), CHANGES)
def test_a_value_that_decides_features_takes_the_name_away(bench, folder, file, change, told):
    rewrite(folder / file, **change)
    assert label(folder) == f"{SD}=sd"
    outcome = bench("weights", "verify", f"{SD}={folder}")
    assert outcome.status == 1
    part = file.partition("/")[0] if file.startswith("tokenizer") else file
    assert f"  {part}: {told}" in outcome.out


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (
            "unet/config.json",
            {"_diffusers_version": "9.9", "dropout": 0.1, "attention_head_dim": [5, 10, 20, 20]},
        ),
        ("unet/config.json", {"layers_per_block": [2, 2, 2, 2]}),
        ("vae/config.json", {"sample_size": 512, "_name_or_path": "elsewhere"}),
        ("scheduler/scheduler_config.json", {"_class_name": "PNDMScheduler", "steps_offset": 0}),
        ("text_encoder/config.json", {"dtype": "float16", "projection_dim": 1}),
    ],
)
def test_what_decides_nothing_leaves_the_name(folder, file, change):
    rewrite(folder / file, **change)
    assert label(folder) == SD


def test_defaults_may_be_left_out(folder):
    for file in published.DEFAULTS:
        write_json(folder / file, dict(published.STABLE_DIFFUSION_2_1[file]))
    assert label(folder) == SD


def test_another_file_of_weights_takes_the_name_away(folder):
    (folder / PARTS[0]).rename(folder / PARTS[0].replace(".safetensors", ".fp16.safetensors"))
    assert label(folder) == f"{SD}=sd"


def test_the_defaults_are_the_libraries():
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig

    text = CLIPTextConfig().to_dict()
    for key, value in published.DEFAULTS["text_encoder/config.json"].items():
        assert text[key] == value
    classes = {
        "unet/config.json": UNet2DConditionModel,
        "vae/config.json": AutoencoderKL,
        "scheduler/scheduler_config.json": DDIMScheduler,
    }
    for file, network in classes.items():
        parameters = inspect.signature(network.__init__).parameters
        for key, value in published.DEFAULTS[file].items():
            assert key == "_class_name" or parameters[key].default == value


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        (
            "unet/config.json",
            {"addition_embed_type": "text_time"},
            "a second text (SDXL), which features do not",
        ),
        (
            "unet/config.json",
            {"in_channels": 9},
            "in_channels is 9: this network reads more than the 4 channels",
        ),
        ("unet/config.json", {"in_channels": 5}, "in_channels is 5"),
        ("unet/config.json", {"class_embed_type": "projection"}, "(unCLIP, upscalers)"),
        ("unet/config.json", {"num_class_embeds": 1000}, "num_class_embeds is 1000"),
        ("unet/config.json", {"encoder_hid_dim_type": "image_proj"}, "an embedding of an image"),
        (
            "unet/config.json",
            {"cross_attention_dim": 1024},
            "states have the width 192, its U-Net reads 1024",
        ),
        ("unet/config.json", {"_class_name": "SD3Transformer2DModel"}, "is a SD3Transformer2DModel"),
        ("unet/config.json", {"sample_size": 10**9}, "sample_size is 1000000000, not the side of latents"),
        ("unet/config.json", {"attention_head_dim": ...}, "lacks attention_head_dim"),
        ("vae/config.json", {"latent_channels": 16}, "not a VAE from pictures"),
        (
            "scheduler/scheduler_config.json",
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            "flow matching",
        ),
        ("scheduler/scheduler_config.json", {"beta_end": ...}, "lacks beta_end"),
        ("scheduler/scheduler_config.json", {"beta_end": 12}, "beta_end is 12, not a share of noise"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}, "not a number of timesteps"),
        ("text_encoder/config.json", {"model_type": "t5"}, "is a t5, not the text encoder of a CLIP"),
        ("text_encoder/config.json", {"hidden_act": ...}, "lacks hidden_act"),
        (
            "text_encoder/config.json",
            {"vocab_size": 900},
            "its tokenizer has 905 tokens, its text encoder 900",
        ),
        ("tokenizer/tokenizer_config.json", {"model_max_length": ...}, "model_max_length is None"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": 10**30}, "not a number of tokens"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": 78}, "makes 78 tokens of a prompt"),
        (
            "tokenizer/tokenizer_config.json",
            {"pad_token": "<pad>"},
            "'<pad>', which is not in the vocabulary",
        ),
    ],
)
def test_what_features_cannot_feed_is_refused_before_anything_is_loaded(tmp_path, file, change, told):
    folder = shutil.copytree(PIPELINE, tmp_path / "sd", ignore=shutil.ignore_patterns("*.safetensors"))
    content = {**json.loads((folder / file).read_text()), **change}
    write_json(folder / file, {key: value for key, value in content.items() if value is not ...})
    with pytest.raises(UserError) as caught:
        Card.of(folder)
    assert told in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(("width", "padding", "wanted"), [(1024, "<|endoftext|>", 0), (768, "!", 49407)])
def test_prompts_are_padded_as_the_text_encoder_was_trained(folder, width, padding, wanted):
    rewrite(folder / "text_encoder" / "config.json", hidden_size=width)
    rewrite(folder / "unet" / "config.json", cross_attention_dim=width)
    rewrite(folder / "tokenizer" / "special_tokens_map.json", pad_token=padding)
    with pytest.raises(UserError, match=rf"pads prompts with .*, Stable Diffusion . with id {wanted}"):
        Card.of(folder)


TOKENIZER = PIPELINE / "tokenizer"

LEFT = {
    "strategy": {"Fixed": 77},
    "direction": "Left",
    "pad_to_multiple_of": None,
    "pad_id": 904,
    "pad_type_id": 0,
    "pad_token": "<|endoftext|>",
}


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("tokenizer_config.json", {"padding_side": "left"}, "and padding behind them"),
        ("tokenizer_config.json", {"truncation_side": "left"}, "its first words and the end token"),
        ("tokenizer.json", {"padding": LEFT}, "and padding behind them"),
        ("tokenizer.json", {"post_processor": None}, ""),
        ("tokenizer.json", {"normalizer": None}, ""),
    ],
)
def test_a_tokenizer_that_makes_other_prompts_than_clip_is_refused(tmp_path, file, change, told):
    shutil.copytree(TOKENIZER, tmp_path / "tokenizer")
    before = read_ids(tmp_path / "tokenizer")
    rewrite(tmp_path / "tokenizer" / file, **change)
    try:
        tokenizer = TextEncoder(tmp_path).tokenizer
    except UserError as error:
        assert told in str(error)
        assert str(tmp_path / "tokenizer") in str(error)
        return
    # A release of the libraries may not read the key: then nothing has changed.
    texts = list(before)
    rows = tokenizer(texts, padding="max_length", max_length=77, truncation=True).input_ids
    assert dict(zip(texts, map(list, rows), strict=True)) == before


def test_the_bundled_tokenizer_makes_prompts_as_clip_does():
    ids = read_ids(TOKENIZER)
    tokens = read_tokens(TOKENIZER)
    assert ids["a photo of a cat"][0] == tokens.special["bos_token"][1]
    assert {len(row) for row in ids.values()} == {77}


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_a_tokenizer_that_pads_or_cuts_at_the_left_takes_the_name_away(bench, folder, side):
    rewrite(folder / "tokenizer" / "tokenizer_config.json", **{side: "left"})
    assert label(folder) == f"{SD}=sd"
    outcome = bench("weights", "verify", f"{SD}={folder}")
    assert outcome.status == 1
    assert "its files make " in outcome.out


def test_other_ids_of_a_text_take_the_name_away(bench, folder, monkeypatch):
    words = {**published.CLIP_IDS, "a photo of a cat": [1, 2]}
    monkeypatch.setattr(published, "CLIP_IDS", words)
    assert label(folder) == f"{SD}=sd"
    assert "'a photo of a cat' becomes 49406, " in bench("weights", "verify", f"{SD}={folder}").out


UNET, VAE = "unet/config.json", "vae/config.json"
SCHEDULER, TEXT = "scheduler/scheduler_config.json", "text_encoder/config.json"


def change(path: Path, key: str, value) -> None:
    """Sets a key of a file, or takes it out with `...`."""
    content = json.loads(path.read_text())
    content.pop(key, None)
    write_json(path, content if value is ... else {**content, key: value})


@pytest.mark.parametrize(
    ("file", "key"),
    [
        *[(UNET, key) for key in ("norm_num_groups", "norm_eps", "act_fn", "flip_sin_to_cos", "freq_shift")],
        *[(VAE, key) for key in ("scaling_factor", "act_fn", "norm_num_groups")],
        *[(TEXT, key) for key in ("layer_norm_eps", "max_position_embeddings", "vocab_size")],
        (SCHEDULER, "prediction_type"),
        *[("tokenizer/tokenizer_config.json", key) for key in ("pad_token", "eos_token", "bos_token")],
    ],
)
def test_another_network_states_what_features_depend_on(tmp_path, file, key):
    folder = shutil.copytree(PIPELINE, tmp_path / "sd", ignore=shutil.ignore_patterns("*.safetensors"))
    change(folder / file, key, ...)
    with pytest.raises(UserError, match=f"lacks .*{key}.*, which the libraries would choose"):
        Card.of(folder)


@pytest.mark.parametrize(
    ("file", "key", "value", "told"),
    [
        (VAE, "scaling_factor", 0, "0, not a number above 0"),
        (VAE, "scaling_factor", -0.2, "-0.2, not a number above 0"),
        (VAE, "scaling_factor", float("nan"), "nan, not a number above 0"),
        (VAE, "scaling_factor", None, "None, not a number above 0"),
        (VAE, "use_quant_conv", "no", "'no', not true or false"),
        (UNET, "norm_eps", "x", "'x', not a number above 0"),
        (UNET, "act_fn", 3, "3, not a text"),
        (UNET, "freq_shift", "x", "'x', not a number"),
        (UNET, "flip_sin_to_cos", 1, "1, not true or false"),
        (UNET, "block_out_channels", [64, "x", 128], "not a list, each of it a number"),
        (TEXT, "layer_norm_eps", [1], r"\[1\], not a number above 0"),
        (SCHEDULER, "prediction_type", 1, "1, not a text"),
        (SCHEDULER, "beta_start", "x", "'x', not a number"),
    ],
)
def test_a_value_of_another_kind_is_refused_before_the_first_pair(tmp_path, file, key, value, told):
    folder = shutil.copytree(PIPELINE, tmp_path / "sd", ignore=shutil.ignore_patterns("*.safetensors"))
    change(folder / file, key, value)
    with pytest.raises(UserError, match=f"{file}: {key} is .*{told}"):
        Card.of(folder)


def test_the_published_networks_may_leave_out_what_they_do(folder):
    # As the first releases of diffusers saved them.
    for file, key in ((VAE, "scaling_factor"), (VAE, "use_quant_conv"), (UNET, "mid_block_type")):
        change(folder / file, key, ...)
    assert Card.of(folder).native == 768
    change(folder / SCHEDULER, "prediction_type", ...)
    with pytest.raises(UserError, match="lacks prediction_type"):
        Card.of(folder)


def test_the_defaults_of_vision_transformers_are_the_library():
    from transformers import AutoConfig

    for model_type, defaults in published.VISION_DEFAULTS.items():
        config = AutoConfig.for_model(model_type).to_dict()
        for key, value in defaults.items():
            assert config[key] == value, (model_type, key)


@pytest.mark.parametrize(
    ("source", "changes", "told"),
    [
        (DINOV2, {}, ""),
        (DINOV2, {"hidden_act": "relu"}, "config.json: hidden_act is relu, published gelu"),
        (DINOV2, {"layer_norm_eps": 0.1}, "layer_norm_eps is 0.1, published 1e-06"),
        (DINOV2, {"qkv_bias": False}, "qkv_bias is False, published True"),
        (DINOV2, {"mlp_ratio": 2}, "mlp_ratio is 2, published 4"),
        (DINOV2, {"use_swiglu_ffn": True}, "use_swiglu_ffn is True, published False"),
        (DINOV2, {"image_size": ...}, "image_size is 224, published 518"),
        (DINOV1, {"layer_norm_eps": ...}, ""),
        (DINOV1, {"layer_norm_eps": 1e-6}, "layer_norm_eps is 1e-06, published 1e-12"),
        (DINOV1, {"hidden_act": "gelu_new"}, "hidden_act is gelu_new"),
        (DINOV3, {"rope_theta": 10.0}, "rope_theta is 10.0, published 100.0"),
        (DINOV3, {"num_register_tokens": ...}, "num_register_tokens is 0, published 4"),
        (CLIP_IMAGE_ENCODER, {"hidden_act": ...}, ""),
        (CLIP_IMAGE_ENCODER, {"hidden_act": "gelu"}, "hidden_act is gelu, published quick_gelu"),
    ],
)
def test_vision_transformers_are_compared_where_features_depend_on_it(tmp_path, source, changes, told):
    config = {**published.VISION_TRANSFORMERS[source], **changes}
    config = {key: value for key, value in config.items() if value is not ...}
    write_json(
        tmp_path / "config.json", {"vision_config": config} if source == CLIP_IMAGE_ENCODER else config
    )
    lines = published.comparison_of_transformer(source)(tmp_path)
    assert len(lines) == bool(told)
    assert told in "".join(lines)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"do_convert_rgb": True, "rescale_factor": 0.00392156862745098, "resample": ...}, ""),
        ({"image_mean": [0.5, 0.5, 0.5]}, "image_mean is 0.5, 0.5, 0.5, published 0.485, 0.456, 0.406"),
        ({"size": {"shortest_edge": 224}}, "size is {'shortest_edge': 224}"),
        ({"do_center_crop": False}, "do_center_crop is False"),
        ({"resample": 2}, "resample is 2, published 3"),
    ],
)
def test_the_preparation_of_pictures_is_compared(tmp_path, changes, told):
    write_json(tmp_path / "config.json", dict(published.VISION_TRANSFORMERS[DINOV2]))
    processor = {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 3,
        "size": {"shortest_edge": 256},
        **changes,
    }
    processor = {key: value for key, value in processor.items() if value is not ...}
    write_json(tmp_path / "preprocessor_config.json", processor)
    lines = published.comparison_of_transformer(DINOV2)(tmp_path)
    assert len(lines) == bool(told)
    assert told in "".join(lines)


def test_a_vision_transformer_with_a_value_of_another_kind_is_refused(tmp_path):
    config = json.loads((BUNDLED / "dino" / "config.json").read_text())
    for key, value in (("layer_norm_eps", "x"), ("hidden_act", 1), ("qkv_bias", "no"), ("mlp_ratio", None)):
        write_json(tmp_path / "config.json", {**config, key: value})
        with pytest.raises(UserError, match=f"config.json: {key} is "):
            VitCard.of(tmp_path)
