"""Copies of values that a plugin is handed, or hands over: what it writes into its own changes no other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.specs import FeatureMap, ImageRequest, LazyImage, Matches

if TYPE_CHECKING:
    import PIL.Image


def copied(value: Any) -> Any:
    """Returns a value with tensors, arrays, pictures and containers of its own; anything else as it is."""
    for kind, copy in _COPIES.items():
        if isinstance(value, kind):
            return copy(value)
    if isinstance(value, tuple | list | set | frozenset | dict):
        return _copied_items(value)
    if _is_a(value, "torch", "Tensor"):
        return value.detach().clone()
    if _is_a(value, "numpy", "ndarray") or _is_a(value, "PIL.Image", "Image"):
        return value.copy()
    # A record of a cell, which a reporter is shown.
    return value.model_copy(deep=True) if hasattr(value, "model_copy") else value


def _copied_items(values: Any) -> Any:
    kind = type(values)
    if kind is dict:
        return {key: copied(value) for key, value in values.items()}
    items = [copied(value) for value in values]
    # A named tuple takes its values one by one.
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return kind(*items)
    # Of a class of its own nobody knows how to make another one.
    return kind(items) if kind in (tuple, list, set, frozenset) else values


def copied_request(request: ImageRequest) -> ImageRequest:
    """Returns a request whose picture, prompt and prepared input are its own.

    Its size is that of the picture, whatever becomes of the copy.
    """

    def copied_image() -> PIL.Image.Image:
        # When it is looked at: decoding may not be needed.
        return request.image.copy()

    picture = LazyImage(request.size, copied_image)
    return replace(request, picture=picture, prompt=copied(request.prompt), prepared=copied(request.prepared))


def copied_map(feature_map: FeatureMap) -> FeatureMap:
    """Returns a feature map with data and levels of its own."""
    # Levels may be anything here: what a plugin returns is checked later.
    copy = replace(feature_map, data=copied(feature_map.data), levels=copied(feature_map.levels))
    if "norms" in vars(feature_map):
        # Known already: a map is the target of many queries.
        vars(copy)["norms"] = feature_map.norms.clone()
    return copy


def copied_matches(matches: Matches) -> Matches:
    """Returns matches with tensors of their own: several localizers read them."""
    return replace(
        matches,
        volume=copied(matches.volume),
        flow=copied(matches.flow),
        confidence=copied(matches.confidence),
    )


_COPIES: Mapping[type, Callable[[Any], Any]] = {
    ImageRequest: copied_request,
    FeatureMap: copied_map,
    Matches: copied_matches,
}


def copied_mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a mapping as a dictionary of its own."""
    return {key: copied(value) for key, value in mapping.items()}


def _is_a(value: object, module: str, name: str) -> bool:
    # Not imported here: where nobody has imported it, there are no such values.
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
