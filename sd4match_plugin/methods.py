"""SD4Match's methods, prompt types and weight sources, described without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from baselines.sources import DINOV2, STABLE_DIFFUSION_2_1
from harness.citations import HARNESS, SD4MATCH
from harness.specs import (
    LearnedFile,
    LearnedSpec,
    MakeContext,
    MethodSpec,
    Prompt,
    PromptSpec,
    RemoteFile,
    Scope,
    WeightSource,
)

RELEASE_SOURCE = "sd4match-prompts"
"""Weight source of the prompts that SD4Match's authors published."""

BUNDLED = Path(__file__).parent / "tiny"
"""Folder of the prompts that come with the package."""


def _locate() -> Path:
    return BUNDLED


WEIGHTS = (
    WeightSource(
        name=RELEASE_SOURCE,
        downloads=(
            RemoteFile(
                "https://www.robots.ox.ac.uk/~xinghui/sd4match/pretrained_prompts.zip", ".", unpack=True
            ),
        ),
        # The archive's content is known by the names of its folders alone: see
        # `sd4match_plugin.prompts.find`.
        stand_in="tiny-sd4match-prompts",
        citation=SD4MATCH,
        description="the prompts that SD4Match's authors tuned for Stable Diffusion 2-1 "
        "on SPair-71k and PF-PASCAL",
    ),
    WeightSource(
        name="tiny-sd4match-prompts",
        locate=_locate,
        files=("*.safetensors",),
        optional=("*.json",),
        citation=HARNESS,
        description="prompts tuned on shapes for tiny-stable-diffusion",
    ),
)


def _maker(kind: str) -> Callable[[MakeContext], Prompt]:
    def make(context: MakeContext) -> Prompt:
        from sd4match_plugin.prompts.make import make_prompt

        return make_prompt(kind, context)

    return make


def _finder(kind: str) -> Callable[[Path, str | None], LearnedFile]:
    def find(folder: Path, trained_on: str | None) -> LearnedFile:
        from sd4match_plugin.prompts.find import find_prompt

        return find_prompt(kind, folder, trained_on)

    return find


def _inspector(kind: str) -> Callable[[Path], LearnedFile]:
    def inspect(path: Path) -> LearnedFile:
        from sd4match_plugin.prompts.find import inspect_prompt

        return inspect_prompt(kind, path)

    return inspect


def _prompt(kind: str, scope: Scope, weights: tuple[str, ...], description: str) -> PromptSpec:
    return PromptSpec(
        name=f"sd4match-{kind}",
        kind="stable-diffusion",
        scope=scope,
        make=_maker(kind),
        weights=weights,
        learned=LearnedSpec(source=RELEASE_SOURCE, find=_finder(kind), inspect=_inspector(kind)),
        description=description,
        citation=SD4MATCH,
    )


PROMPTS = (
    _prompt("single", "dataset", (STABLE_DIFFUSION_2_1,), "tuned: one prompt for all images (SD4Match)"),
    _prompt("class", "category", (STABLE_DIFFUSION_2_1,), "tuned: one prompt for each category (SD4Match)"),
    _prompt(
        "cpm",
        "pair",
        (STABLE_DIFFUSION_2_1, DINOV2),
        "tuned: made from the image pair by the conditional prompting module (SD4Match)",
    ),
)

_NOTES = (
    "Follows the authors' code: 768 x 768 stretched (Pillow, bilinear, as theirs for CPM and training; for "
    "Single, Class and text their test.py resizes tensors, neither smoothed nor rounded to bytes, which is "
    "--set resample=bilinear-tensor), t 50 at evaluation and 261 at training, one sample of the VAE "
    "posterior with 8 draws of noise, up-block 1, learned rows without position embeddings through the "
    "frozen text encoder, kernel-softmax with temperature 0.04 and sigma 7 of 48 cells, in proportion on "
    "other grids. Their noise follows the order of a shuffled loader; here it belongs to (seed, image, "
    "timestep, member). Their half precision is --precision fp16 here. t 50 was chosen by tests (section "
    "4.1), which Fig. 3(b) shows on SPair-71k without naming the split; how temperature and sigma were "
    "chosen is not stated."
)

_CPM_NOTES = (
    " The gate is the code's, tanh(alpha) (position + x), where the paper has x alpha + position (eq. in "
    "section 3.3); files tuned with 'bench train --gate paper' say so. DINOv2 sees its processor's 224 x 224 "
    "crop, and its positions are interpolated with the 0.1 cells that the code's transformers adds; files of "
    "'bench train' from before that was so are read as they were tuned, without."
)

_PARAMS: Mapping[str, str | int] = {"timestep": 50, "posterior": "sampled-once", "resample": "bilinear"}


def _method(kind: str, description: str, notes: str = _NOTES) -> MethodSpec:
    return MethodSpec(
        name=f"sd4match-{kind}",
        extractor="stable-diffusion",
        prompt=f"sd4match-{kind}",
        localizer="kernel-softmax",
        params=_PARAMS,
        localizer_options={"kernel-softmax": {"relative_to": 48}},
        supervision="K",
        # The prompt's own choice, of its checkpoint, is in its file.
        tuned_on=("spair-71k/?",),
        description=description,
        notes=notes,
        citation=SD4MATCH,
    )


METHODS = (
    _method("single", "SD4Match (2024): one tuned prompt for all images"),
    _method("class", "SD4Match (2024): one tuned prompt for each category"),
    _method("cpm", "SD4Match (2024): a prompt made from the image pair", _NOTES + _CPM_NOTES),
)
