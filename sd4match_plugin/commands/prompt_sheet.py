"""The sheet of `bench prompt show`: a prompt loaded, the rows that are drawn from it, and their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.stable_diffusion.generate import Generator
from harness.cli.progress import ProgressBar
from harness.environment import device_name
from harness.errors import UserError, unknown_name
from harness.features.requests import PromptUse
from harness.plugins.host import Host
from harness.specs import (
    ImageRequest,
    LearnedFile,
    MakeContext,
    PairPrompt,
    PictureNames,
    Prompt,
    PromptSpec,
)
from harness.weights.choice import WeightChoice, Weights, resolve_weights
from harness.weights.learned import find_learned_file, prompt_weight_names
from sd4match_plugin.commands.show_arguments import ShowArguments
from sd4match_plugin.prompts.make import LearnedPrompt

if TYPE_CHECKING:
    import PIL.Image

    PictureRow = tuple[str, Sequence[PIL.Image.Image]]
    """A row's label and its pictures."""


@dataclass(frozen=True, eq=False)
class LoadedPrompt:
    """A prompt with everything that its rows are made of.

    Attributes:
        spec, prompt: the prompt's description, and the prompt itself.
        file: of a learned prompt; None for others.
        categories: categories to show; empty only for a prompt whose scope is not `category`.
        image_names, requests: the user's images.
        weights: those of Stable Diffusion.
    """

    spec: PromptSpec
    prompt: Prompt
    file: LearnedFile | None
    categories: tuple[str, ...]
    image_names: tuple[str, ...]
    requests: tuple[ImageRequest, ...]
    backbone: StableDiffusion
    weights: Weights


@dataclass(frozen=True, eq=False)
class SheetRow:
    """A row before it is drawn.

    Attributes:
        value: of the prompt; a string for a plain text.
        states: (77, D) that cross-attention reads.
    """

    label: str
    value: Any
    states: torch.Tensor


def load_prompt(
    host: Host, arguments: ShowArguments, spec: PromptSpec, requests: tuple[ImageRequest, ...]
) -> LoadedPrompt:
    """Loads a prompt and Stable Diffusion.

    Args:
        spec: the prompt's description.
        requests: the user's images.

    Raises:
        UserError: the prompt's file, weights or categories do not fit.
    """
    device = device_name(arguments.device)
    choice = WeightChoice.parse(host, arguments.weights, arguments.weights_root)
    prompt_weights = prompt_weight_names(spec, arguments.own_file)
    weights = resolve_weights(host, choice, [STABLE_DIFFUSION_2_1, *prompt_weights])
    file = find_learned_file(spec, weights, arguments.own_file, arguments.trained_on)
    context = MakeContext(
        device=device,
        precision=arguments.precision,
        params=spec.params,
        weights={name: used.path for name, used in weights.items()},
        prompt_file=file.path if file else arguments.own_file,
        pictures=_picture_names(arguments, requests),
    )
    prompt = spec.make(context)
    categories = _choose_categories(spec, prompt, arguments.unique_categories)
    diffusion = weights[STABLE_DIFFUSION_2_1]
    return LoadedPrompt(
        spec=spec,
        prompt=prompt,
        file=file,
        categories=categories,
        image_names=tuple(path.name for path in arguments.images),
        requests=requests,
        backbone=StableDiffusion(diffusion.path, device, arguments.precision),
        weights=diffusion,
    )


def _picture_names(arguments: ShowArguments, requests: Sequence[ImageRequest]) -> dict[str, PictureNames]:
    """Identity -> names of the user's images, for a prompt that reads a file."""
    names: dict[str, PictureNames] = {}
    for path, request in zip(arguments.images, requests, strict=True):
        names[request.identity] = PictureNames((path.name,), (path.stem,))
    return names


@torch.inference_mode()
def sheet_rows(host: Host, loaded: LoadedPrompt) -> list[SheetRow]:
    """The prompt's own rows, each category's followed by its plain text, and the empty text.

    Raises:
        UserError: the prompt also changes the embedding of the timestep.
    """
    rows: list[SheetRow] = []
    for label, category, value in _prompt_values(loaded):
        rows.append(_make_row(loaded, label, value))
        if loaded.spec.scope == "category":
            _add_text(rows, loaded, _plain_text(host, "category", category))
    for category in loaded.categories:
        _add_text(rows, loaded, _plain_text(host, "category", category))
    _add_text(rows, loaded, _plain_text(host, "empty", ""))
    return rows


def input_rows(loaded: LoadedPrompt) -> list[PictureRow]:
    """The row of the images that the prompt is made from, if there are any."""
    if not loaded.requests:
        return []
    names = " and ".join(loaded.image_names)
    return [(f"made from {names}", [request.image for request in loaded.requests])]


def draw_rows(loaded: LoadedPrompt, rows: Sequence[SheetRow], arguments: ShowArguments) -> list[PictureRow]:
    """Draws the pictures of each row. Rows are compared, so their noise is the same."""
    sampler = Generator(
        loaded.backbone, steps=arguments.steps, guidance=arguments.guidance, seed=arguments.seed
    )
    with ProgressBar("step") as bar:
        pictures = sampler.pictures(
            [row.states for row in rows],
            number=arguments.number,
            names=[""] * len(rows),
            progress=lambda done, total: bar.show(loaded.spec.name, done, total),
        )
    return [(row.label, row_pictures) for row, row_pictures in zip(rows, pictures, strict=True)]


def sheet_title(loaded: LoadedPrompt, arguments: ShowArguments) -> str:
    """Names the prompt, its file, Stable Diffusion, and how the pictures were drawn."""
    source = ""
    if loaded.file:
        facts = ["/".join(loaded.file.path.parts[-2:])]
        if loaded.file.trained_on:
            facts.append(f"trained on {loaded.file.trained_on}")
        source = f" ({', '.join(facts)})"
    sampling = f"{arguments.steps} steps, guidance {arguments.guidance:g}, seed {arguments.seed}"
    return f"{loaded.spec.name}{source}: {loaded.weights.label({})}, {sampling}"


def _prompt_values(loaded: LoadedPrompt) -> Iterator[tuple[str, str, Any]]:
    """Label, category and value of each of the prompt's own rows."""
    use = PromptUse(loaded.prompt, loaded.spec.scope)
    name = loaded.spec.name
    if use.scope == "category":
        for category in loaded.categories:
            yield f"{name}: {category}", category, use.value(category, ())
        return
    category = loaded.categories[0] if loaded.categories else ""
    if use.scope == "image":
        values: Sequence[Any] = use.values(category, loaded.requests)
    else:
        value = use.value(category, loaded.requests)
        if not isinstance(value, PairPrompt):
            yield name, category, value
            return
        values = value
    for image_name, image_value in zip(loaded.image_names, values, strict=True):
        yield f"{name}: {image_name}", category, image_value


def _plain_text(host: Host, prompt: str, category: str) -> str:
    text: str = host.prompts[prompt].make(MakeContext())(category, ())
    return text


def _add_text(rows: list[SheetRow], loaded: LoadedPrompt, text: str) -> None:
    """Adds the row of a plain text, unless it has one."""
    texts = [row.value for row in rows if isinstance(row.value, str)]
    if text not in texts:
        rows.append(_make_row(loaded, f'"{text}"' if text else "empty text", text))


def _make_row(loaded: LoadedPrompt, label: str, value: Any) -> SheetRow:
    condition = loaded.backbone.condition(value)
    if condition.time is not None:
        raise UserError(
            f"prompt '{loaded.spec.name}' also shifts the embedding of the timestep, "
            "and text-to-image sampling cannot"
        )
    return SheetRow(label, value, condition.states)


def _choose_categories(spec: PromptSpec, prompt: Prompt, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The categories to show: the user's, or all that the prompt was tuned for.

    Raises:
        UserError: the prompt needs a category and there is none, or it was not tuned for one of them.
    """
    if spec.scope != "category":
        return asked
    tuned = tuple(sorted(prompt.values)) if isinstance(prompt, LearnedPrompt) else ()
    if not (asked or tuned):
        raise UserError(f"prompt '{spec.name}' needs a category: give --category NAME")
    for name in asked:
        if tuned and name not in tuned:
            raise unknown_name("category", name, tuned)
    return asked or tuned
