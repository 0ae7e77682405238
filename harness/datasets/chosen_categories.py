"""Splits of which a few categories were chosen: `test[cat,dog]` is the split of a cell of its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from harness.errors import UserError, nearest_names
from harness.messages import counted

OPENING = "["
"""Begins the categories behind a split's name; no split of a dataset has it in its own name."""

_CHOSEN = re.compile(r"([^\[]+)\[(.+)\]", re.DOTALL)

_NAME = re.compile(r'"((?:[^"]|"")*)"|([^,]+)')


class UnknownCategory(UserError):
    """A category was chosen that no pair of the split is of."""


def split_of_categories(split: str, categories: Iterable[str]) -> str:
    """Name of the pairs of some categories of a split: `test[cat,dog]`, the same in whatever order they come.

    A name with a comma or a double quote stands in double quotes, and its own double quotes twice. Without
    any category, it is the split's own name.
    """
    names = sorted(set(categories))
    return f"{split}{OPENING}{','.join(map(_quoted, names))}]" if names else split


def whole_split(split: str) -> str:
    """Name of the split that categories were chosen of; any other split's own name."""
    match = _CHOSEN.fullmatch(split)
    return match[1] if match else split


def chosen_categories(split: str) -> tuple[str, ...]:
    """The categories that were chosen, sorted; none of a whole split."""
    match = _CHOSEN.fullmatch(split)
    if not match:
        return ()
    return tuple(quoted.replace('""', '"') or plain for quoted, plain in _NAME.findall(match[2]))


def find_categories(
    where: str, chosen: Iterable[str], known: Collection[str], unreadable: int = 0
) -> frozenset[str]:
    """The categories of a dataset that a user's names mean.

    A name that no category has means those that differ from it in what a user cannot see or type alone:
    spaces at the ends, accents composed or not, and double quotes, which say nothing in a list.

    Args:
        where: the dataset and its split, for messages.
        known: the categories of all pairs that could be read.
        unreadable: number of pairs whose category nobody knows.

    Raises:
        UnknownCategory: a name means no category.
    """
    meant: set[str] = set()
    unknown: list[str] = []
    for name in chosen:
        alike = {name} if name in known else {each for each in known if _typed(each) == _typed(name)}
        meant |= alike
        if not alike:
            unknown.append(name)
    if unknown:
        raise UnknownCategory(f"{where}: {_describe_unknown(unknown, known, unreadable)}")
    return frozenset(meant)


def _describe_unknown(unknown: Sequence[str], known: Collection[str], unreadable: int) -> str:
    names = sorted(each.strip() for each in known)
    near = dict.fromkeys(name for each in unknown for name in nearest_names(each, names))
    noun = "category" if len(unknown) == 1 else "categories"
    has = f"it has {', '.join(map(_quoted, names)) or 'none that can be read'}"
    if len(names) == 1:
        has = f"all of its pairs are of {_quoted(names[0])}"
    if unreadable:
        has += f", and {counted(unreadable, 'pair')} that cannot be read"
    text = f"unknown {noun} {', '.join(map(repr, unknown))}; {has}"
    if near:
        text += f"; did you mean {' or '.join(map(_quoted, near))}?"
    return text


def _typed(name: str) -> str:
    """A name as the items of a list have it."""
    return unicodedata.normalize("NFC", name).replace('"', "").strip()


def _quoted(name: str) -> str:
    """A name as lists have it."""
    if "," in name or '"' in name:
        doubled = name.replace('"', '""')
        return f'"{doubled}"'
    return name
