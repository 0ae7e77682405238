"""Networks that users name and no plugin has as a source: a folder, or a repository of the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.specs import WeightSource

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w.-]+)?", re.ASCII)

_LONGEST = 200
"""Characters of a repository's name with a revision: those of the hub have 96, and disks take 255."""


@dataclass(frozen=True, kw_only=True)
class NamedModel(WeightSource):
    """A network that a user names. It is no plugin's source, so that --weights does not know it.

    Attributes:
        text: as the user named it: a path, a repository, or the name of a source.
    """

    text: str


def is_repository(text: str) -> bool:
    """Says whether a text reads like a repository of the hub: `OWNER/NAME` or `OWNER/NAME@REVISION`.

    Such a text leads to a folder two levels below the one that it is joined to, and nowhere else.
    """
    return len(text) <= _LONGEST and _REPOSITORY.fullmatch(text) is not None


def own_advice(source: WeightSource, path: str = "") -> str:
    """How the user puts files of their own in the place of a source's: the end of a message.

    Args:
        path: those files, where they are known.
    """
    if isinstance(source, NamedModel):
        return f"name {path or 'a folder of your own'} instead"
    return f"give --weights {source.name}={path or 'PATH'}"


def advice_on_changed(source: WeightSource) -> str:
    """What to do about a file that has changed since it was fetched: the end of a message."""
    if isinstance(source, NamedModel):
        return (
            f"'bench weights fetch {source.text}' gets it again, the path of the folder in the place of the "
            "name uses it as it is"
        )
    name = source.name
    return f"'bench weights fetch {name}' gets it again, --weights {name}=PATH uses a folder as it is"
