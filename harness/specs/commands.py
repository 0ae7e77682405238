"""Further commands of `bench`: the spec that `bench_commands` collects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """A command of `bench`, built when a user calls it."""

    name: str
    make: Callable[[], click.Command]
    description: str = ""
