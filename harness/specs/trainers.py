"""Trainings of what methods use: the spec that `bench_trainers` collects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


@dataclass(frozen=True, kw_only=True)
class TrainerSpec:
    """What `bench train METHOD` does for some methods.

    Attributes:
        name: of what it trains, such as `prompts`; marks its own options where those of all are listed.
        methods: names of the methods that it trains something for.
        make: one of these names -> the command, with all options but without the method's name. It is built
            for the help of `bench train`, too: import what is heavy in the command's function.
    """

    name: str
    methods: tuple[str, ...]
    make: Callable[[str], click.Command]
    description: str = ""
