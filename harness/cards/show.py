"""From a name to the page on what it stands for."""

from __future__ import annotations

from pathlib import Path

from harness.cards.card import Card
from harness.cards.method_card import method_card
from harness.cards.other_cards import dataset_card, plain_card, weights_card
from harness.errors import UserError, unknown_name
from harness.plugins.host import Host

KINDS = {
    "method": "methods",
    "dataset": "datasets",
    "extractor": "extractors",
    "prompt": "prompts",
    "matcher": "matchers",
    "localizer": "localizers",
    "protocol": "protocols",
    "weights": "weight_sources",
}
"""Kind -> the host's registry; of a name that several have, the first counts."""


def kinds_of(host: Host, name: str) -> list[str]:
    """The kinds of which something has this name."""
    return [kind for kind, registry in KINDS.items() if name in getattr(host, registry)]


def show(host: Host, name: str, kind: str | None, data_root: Path, weights_root: Path | None) -> Card:
    """The page on what a name stands for.

    Args:
        kind: one of `KINDS`; None for the first that has the name.

    Raises:
        UserError: nothing of that kind has the name.
    """
    if kind is None:
        kind = _first_kind(host, name)
    if kind == "method":
        return method_card(host, name, weights_root)
    if kind == "dataset":
        return dataset_card(host, name, data_root)
    if kind == "weights":
        return weights_card(host, name, weights_root)
    return plain_card(host, KINDS[kind], kind, name)


def _first_kind(host: Host, name: str) -> str:
    kinds = kinds_of(host, name)
    if kinds:
        return kinds[0]
    # A method that is not listed, since a recipe names its extractor, or a name that two plugins bring.
    try:
        host.methods[name]
    except UserError:
        known = {each for registry in KINDS.values() for each in getattr(host, registry)}
        raise UserError(f"{unknown_name('name', name, known)}{host.methods.missing_plugins(name)}") from None
    return "method"
