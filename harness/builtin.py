"""The plugin that brings the harness's own datasets, localizers, protocols and text prompts, through the hooks everybody uses."""

from __future__ import annotations

from importlib import import_module

from harness.datasets import folder, pf_pascal, pf_willow, spair71k
from harness.datasets.shapes.spec import SHAPES
from harness.errors import NotApplicable
from harness.hookspecs import hookimpl
from harness.scoring.protocols import BUILTIN
from harness.specs import DatasetSpec, LocalizerSpec, MakeContext, Prompt, PromptSpec, ProtocolSpec


@hookimpl
def bench_datasets() -> list[DatasetSpec]:
    """The datasets, one file each."""
    return [spair71k.SPEC, pf_pascal.SPEC, pf_willow.SPEC, folder.SPEC, SHAPES]


@hookimpl
def bench_protocols() -> list[ProtocolSpec]:
    """The published protocols."""
    return list(BUILTIN)


@hookimpl
def bench_localizers() -> list[LocalizerSpec]:
    """The published localizers."""
    return [
        _localizer("argmax", "on_grid.Argmax", "the most similar cell", normalize=True),
        _localizer(
            "argmax-original",
            "original_resolution.ArgmaxOriginal",
            "the most similar pixel at original resolution (DIFT)",
        ),
        _localizer(
            "bilinear",
            "on_grid.Bilinear",
            "most similar cells of the query's four neighbours, blended",
            normalize=True,
        ),
        _localizer(
            "soft-argmax",
            "on_grid.SoftArgmax",
            "mean position under softmax",
            temperature=0.04,
            normalize=True,
        ),
        _localizer(
            "kernel-softmax",
            "on_grid.KernelSoftmax",
            "soft-argmax around the most similar cell (the SD4Match paper's)",
            sigma=7.0,
            temperature=0.04,
            relative_to=None,
            normalize=True,
        ),
        _localizer(
            "window-softmax",
            "on_grid.WindowSoftmax",
            "soft-argmax in a window (GeoAware-SC)",
            window=7,
            temperature=0.02,
        ),
    ]


@hookimpl
def bench_prompts() -> list[PromptSpec]:
    """Prompts that are plain text."""
    return [
        PromptSpec(
            name="empty", kind="text", make=lambda context: _text(""), description='the empty string ""'
        ),
        PromptSpec(
            name="category",
            kind="text",
            scope="category",
            make=lambda context: _text("a photo of a {category}"),
            description='"a photo of a {category}"',
        ),
        PromptSpec(
            name="wrong-category",
            kind="text",
            scope="category",
            make=_wrong_category,
            description='control: "a photo of a {the next category of the dataset}"',
        ),
    ]


def _localizer(
    name: str, place: str, description: str, **options: str | float | bool | None
) -> LocalizerSpec:
    def make(**chosen: object) -> object:
        module, _, class_name = place.partition(".")
        return getattr(import_module(f"harness.localizers.{module}"), class_name)(**chosen)

    return LocalizerSpec(name=name, make=make, options=options, description=description)  # type: ignore[arg-type]


def _wrong_category(context: MakeContext) -> Prompt:
    """What a category's name is worth can be told from what another one's costs."""
    names = context.categories
    if len(names) < 2:
        raise NotApplicable("the dataset has one category, so there is no wrong one")
    others = dict(zip(names, (*names[1:], names[0]), strict=True))
    return lambda category, images: f"a photo of a {others[category]}"


def _text(template: str) -> Prompt:
    return lambda category, images: template.format(category=category)
