"""What comes out of a network's submodules while it runs, and no further than the last one that is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class _Enough(Exception):
    """Everything that is to be read has been read."""


@contextmanager
def reading(places: Mapping[str, Any], found: dict[str, Any]) -> Iterator[None]:
    """Notes the outputs of submodules, as they are, under their names; leaves the `with` after the last of them."""

    def note(place: str) -> Callable[[Any, Any, Any], None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            found[place] = output
            if len(found) == len(places):
                raise _Enough

        return hook

    hooks = [module.register_forward_hook(note(place)) for place, module in places.items()]
    try:
        yield
    except _Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()
