"""The plugin that brings the harness's own datasets, localizers, protocols and text prompts.

It uses the hooks that every plugin uses.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module

from harness.datasets import folder, pf_pascal, pf_willow, spair71k
from harness.datasets.shapes.spec import SHAPES
from harness.errors import NotApplicable
from harness.hookspecs import hookimpl
from harness.scoring.protocols import BUILTIN
from harness.specs import DatasetSpec, Localizer, LocalizerSpec, MakeContext, Prompt, PromptSpec, ProtocolSpec


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
        LocalizerSpec(
            name="argmax",
            make=partial(_make_localizer, "on_grid.Argmax"),
            options={"normalize": True},
            grid="corner",
            description="the most similar cell",
        ),
        LocalizerSpec(
            name="argmax-original",
            make=partial(_make_localizer, "original_resolution.ArgmaxOriginal"),
            grid="half-pixel",
            reads="pixel",
            description="the most similar pixel at original resolution (DIFT)",
        ),
        LocalizerSpec(
            name="bilinear",
            make=partial(_make_localizer, "on_grid.Bilinear"),
            options={"normalize": True},
            grid="corner",
            description="most similar cells of the query's four neighbours, blended",
        ),
        LocalizerSpec(
            name="soft-argmax",
            make=partial(_make_localizer, "on_grid.SoftArgmax"),
            options={"temperature": 0.04, "normalize": True},
            grid="corner",
            description="mean position under softmax",
        ),
        LocalizerSpec(
            name="kernel-softmax",
            make=partial(_make_localizer, "on_grid.KernelSoftmax"),
            options={"sigma": 7.0, "temperature": 0.04, "relative_to": None, "normalize": True},
            grid="corner",
            description="soft-argmax around the most similar cell (the SD4Match paper's)",
        ),
        LocalizerSpec(
            name="window-softmax",
            make=partial(_make_localizer, "on_grid.WindowSoftmax"),
            options={"window": 7, "temperature": 0.02},
            grid="patch-centre",
            description="soft-argmax in a window (GeoAware-SC)",
        ),
    ]


@hookimpl
def bench_prompts() -> list[PromptSpec]:
    """Prompts that are plain text."""
    return [
        PromptSpec(
            name="empty", kind="text", make=partial(_make_text, ""), description='the empty string ""'
        ),
        PromptSpec(
            name="category",
            kind="text",
            scope="category",
            make=partial(_make_text, "a photo of a {category}"),
            description='"a photo of a {category}"',
        ),
        PromptSpec(
            name="wrong-category",
            kind="text",
            scope="category",
            make=_make_wrong_category,
            description='control: "a photo of a {the next category of the dataset}"',
        ),
    ]


def _make_localizer(name: str, **options: object) -> Localizer:
    """Imports a class of `harness.localizers`, `module.Class`, and makes the localizer."""
    module, _, class_name = name.partition(".")
    # Imported only now: the localizers need torch, which listing them must not import.
    localizer_class = getattr(import_module(f"harness.localizers.{module}"), class_name)
    localizer: Localizer = localizer_class(**options)
    return localizer


def _make_wrong_category(context: MakeContext) -> Prompt:
    """Names another category: the loss of PCK shows the worth of the right name.

    Raises:
        NotApplicable: the dataset has one category.
    """
    names = context.categories
    if len(names) < 2:
        raise NotApplicable("the dataset has one category, so there is no wrong one")
    # A fixed choice, not a random one: a rerun must give the same features.
    next_names = dict(zip(names, (*names[1:], names[0]), strict=True))
    return lambda category, images: f"a photo of a {next_names[category]}"


def _make_text(template: str, context: MakeContext) -> Prompt:
    return lambda category, images: template.format(category=category)
