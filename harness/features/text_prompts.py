"""Prompts that are plain text."""

from __future__ import annotations

from functools import partial

from harness.errors import NotApplicable
from harness.specs import MakeContext, Prompt, PromptSpec


def _make_wrong_category(context: MakeContext) -> Prompt:
    """Names another category: the loss of PCK shows the worth of the right name.

    Raises:
        NotApplicable: the dataset has one category.
    """
    # Of the whole split: a pair's prompt does not depend on what else was chosen.
    names = context.all_categories or context.categories
    if len(names) < 2:
        raise NotApplicable("the dataset has one category, so there is no wrong one")
    # A fixed choice, not a random one: a rerun must give the same features.
    next_names = dict(zip(names, (*names[1:], names[0]), strict=True))
    return lambda category, images: f"a photo of a {next_names[category]}"


def _make_text(template: str, context: MakeContext) -> Prompt:
    return lambda category, images: template.format(category=category)


TEXT_PROMPTS = (
    PromptSpec(name="empty", kind="text", make=partial(_make_text, ""), description='the empty string ""'),
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
)
